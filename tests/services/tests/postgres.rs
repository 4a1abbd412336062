//! A PostgreSQL server of our own, where its programs are installed.

use crate::support::alone;
use std::{
    env,
    ffi::OsStr,
    fs, io,
    os::unix::{
        fs::{DirBuilderExt, MetadataExt, chown},
        process::CommandExt,
    },
    path::{Path, PathBuf},
    process::{self, Child, Command, Stdio},
    sync::atomic::{AtomicU32, Ordering},
};

/// A server in a temporary directory, reached through a Unix socket there. It ends when it is dropped.
pub(crate) struct Server {
    programs: PathBuf,
    dir: PathBuf,
    /// Not the superuser: the server refuses to run as that.
    user: Option<(u32, u32)>,
    /// Stops it and removes the directory when its input ends, even if the test is aborted.
    keeper: Option<Child>,
}

const KEEPER: &str = r#"read _; "$0" stop -m immediate; rm -rf "$1""#;

impl Server {
    /// Starts one; says on stderr why it cannot.
    pub(crate) fn start() -> Option<Server> {
        match Server::try_start() {
            Ok(server) => Some(server),
            Err(why) => {
                eprintln!("SKIPPED: {why}");
                None
            }
        }
    }

    fn try_start() -> Result<Server, String> {
        let programs = programs().ok_or("there is no PostgreSQL (`initdb` and `pg_ctl`)")?;
        static STARTED: AtomicU32 = AtomicU32::new(0);
        let number = STARTED.fetch_add(1, Ordering::Relaxed);
        let dir = env::temp_dir().join(format!("asyncio-postgres-{}-{number}", process::id()));
        let made = fs::DirBuilder::new().mode(0o700).create(&dir);
        made.map_err(|error| format!("cannot make a directory: {error}"))?;
        // From here on it is removed again, whatever happens.
        let mut server = Server { programs, dir, user: None, keeper: None };
        let owner = fs::metadata(&server.dir).map_err(|error| error.to_string())?;
        if owner.uid() == 0 {
            let user = unprivileged().ok_or("there is no user `nobody` for PostgreSQL")?;
            chown(&server.dir, Some(user.0), Some(user.1)).map_err(|error| error.to_string())?;
            server.user = Some(user);
        }
        server.keeper = Some(server.keep().map_err(|error| format!("`sh`: {error}"))?);
        let locale = ["--locale=C", "--encoding=UTF8", "--no-sync", "--auth=trust"];
        server.run("initdb", locale.into_iter().chain(["-U", "postgres"]))?;
        let socket = format!("-F -h '' -k '{}' -c max_connections=200", server.dir.display());
        server.run("pg_ctl", ["start", "-w", "-l", "log", "-o", &socket])?;
        Ok(server)
    }

    /// Where it listens.
    pub(crate) fn socket(&self) -> PathBuf {
        self.dir.join(".s.PGSQL.5432")
    }

    /// A program that runs as the user, and writes nowhere.
    fn command(&self, program: impl AsRef<OsStr>) -> Command {
        let mut command = Command::new(program);
        command.current_dir(&self.dir).env("PGDATA", self.dir.join("data"));
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        if let Some((user, group)) = self.user {
            command.uid(user).gid(group);
        }
        command
    }

    fn keep(&self) -> io::Result<Child> {
        let mut command = self.command("sh");
        command.arg("-c").arg(KEEPER).arg(self.programs.join("pg_ctl")).arg(&self.dir);
        let _alone = alone();
        command.stdin(Stdio::piped()).spawn()
    }

    fn run<'a>(
        &self,
        program: &str,
        arguments: impl IntoIterator<Item = &'a str>,
    ) -> Result<(), String> {
        let mut command = self.command(self.programs.join(program));
        let _alone = alone();
        match command.args(arguments).status() {
            Ok(status) if status.success() => Ok(()),
            Ok(status) => Err(format!("`{program}`: {status}")),
            Err(error) => Err(format!("`{program}`: {error}")),
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _alone = alone();
        if let Some(mut keeper) = self.keeper.take() {
            // This closes its input first.
            let _ = keeper.wait();
        }
        // Where the user may not do that.
        let _ = fs::remove_dir_all(&self.dir);
    }
}

/// The directory with the newest of the server's programs.
fn programs() -> Option<PathBuf> {
    let path = env::var_os("PATH").unwrap_or_default();
    let installed = fs::read_dir("/usr/lib/postgresql").into_iter().flatten().flatten();
    let mut versions: Vec<PathBuf> = installed.map(|entry| entry.path().join("bin")).collect();
    versions.sort_by_key(|path| version(path));
    let mut all = versions.into_iter().rev().chain(env::split_paths(&path));
    all.find(|dir| ["initdb", "pg_ctl"].iter().all(|name| dir.join(name).is_file()))
}

/// 15 of `…/15/bin`.
fn version(bin: &Path) -> Option<u32> {
    bin.parent()?.file_name()?.to_str()?.parse().ok()
}

/// The user and the group of `nobody`.
fn unprivileged() -> Option<(u32, u32)> {
    let users = fs::read_to_string("/etc/passwd").ok()?;
    let line = users.lines().find(|line| line.starts_with("nobody:"))?;
    let mut fields = line.split(':').skip(2);
    Some((fields.next()?.parse().ok()?, fields.next()?.parse().ok()?))
}

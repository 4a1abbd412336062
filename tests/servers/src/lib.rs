//! A PostgreSQL or a Redis of its own for a test, an example or a benchmark, where the programs are installed.
//!
//! ```
//! # use asyncio_test_servers::Server;
//! match Server::redis() {
//!     Ok(redis) => println!("redis://127.0.0.1:{}", redis.port()),
//!     Err(why) => println!("SKIPPED: {why}"),
//! }
//! ```

use std::{
    env,
    ffi::OsStr,
    fmt,
    fs::{self, DirBuilder},
    io::{self, BufRead, BufReader, Write},
    net::TcpListener,
    os::unix::{
        fs::{DirBuilderExt, MetadataExt, chown},
        net::UnixStream,
        process::CommandExt,
    },
    path::{Path, PathBuf},
    process::{self, Child, Command, Stdio},
    sync::atomic::{AtomicU32, Ordering},
    thread,
    time::{Duration, Instant},
};

/// A server in a temporary directory of its own. It listens on a port of the loopback interface, and on a Unix
/// socket. It ends when this is dropped, and when the process ends in any other way.
///
/// Its functions block the thread.
pub struct Server {
    kind: &'static Kind,
    programs: PathBuf,
    dir: PathBuf,
    port: u16,
    /// PostgreSQL refuses to run as the superuser.
    user: Option<(u32, u32)>,
    /// Ends the server and removes the directory when its input ends.
    keeper: Option<Child>,
}

/// The differences between the two.
struct Kind {
    name: &'static str,
    /// The programs that have to be installed.
    programs: &'static [&'static str],
    /// The file in the directory whose first line is the process ID.
    pid_file: &'static str,
    /// The signal that ends the process immediately.
    signal: &'static str,
    prepare: fn(&Server) -> Result<(), String>,
    start: fn(&Server) -> Result<(), String>,
    socket: fn(&Server) -> PathBuf,
    /// Asks over a new connection whether it carries out commands.
    ready: fn(UnixStream) -> io::Result<()>,
}

impl Kind {
    /// The directory of its programs.
    fn installed(&self) -> Result<PathBuf, String> {
        let missing = || format!("there is no {} ({})", self.name, self.programs.join(", "));
        programs(self.programs).ok_or_else(missing)
    }
}

const POSTGRES: Kind = Kind {
    name: "PostgreSQL",
    programs: &["initdb", "pg_ctl"],
    pid_file: "data/postmaster.pid",
    signal: "QUIT",
    prepare: |server| {
        let locale = ["--locale=C", "--encoding=UTF8", "--no-sync", "--auth=trust"];
        server.run("initdb", locale.into_iter().chain(["-U", "postgres"]))
    },
    start: |server| {
        let (port, dir) = (server.port, server.dir.display());
        let options = format!("-F -h 127.0.0.1 -p {port} -k '{dir}' -c max_connections=200");
        server.run("pg_ctl", ["start", "-w", "-l", "log", "-o", &options])
    },
    socket: |server| server.dir.join(format!(".s.PGSQL.{}", server.port)),
    // `pg_ctl -w` has waited for that.
    ready: |_| Ok(()),
};

const REDIS: Kind = Kind {
    name: "Redis",
    programs: &["redis-server"],
    pid_file: "redis.pid",
    signal: "KILL",
    prepare: |_| Ok(()),
    start: |server| {
        let port = server.port.to_string();
        let network = ["--bind", "127.0.0.1", "--port", &port, "--unixsocket", "redis.socket"];
        // Written data survives a crash.
        let files = ["--appendonly", "yes", "--save", "", "--logfile", "log"];
        let process = ["--daemonize", "yes", "--pidfile", "redis.pid"];
        server.run("redis-server", network.into_iter().chain(files).chain(process))
    },
    socket: |server| server.dir.join("redis.socket"),
    // Redis accepts connections while it still loads its data.
    ready: |mut stream| {
        stream.set_read_timeout(Some(LIMIT))?;
        stream.write_all(b"PING\r\n")?;
        let mut response = String::new();
        BufReader::new(stream).read_line(&mut response)?;
        match response.trim_end() {
            "+PONG" => Ok(()),
            other => Err(io::Error::other(format!("the response to PING is {other:?}"))),
        }
    },
};

/// Ends the process `$1/$2` by the signal `$0`, waits for its end, and removes the directory `$1`.
const KEEPER: &str = r#"read _; pid=$(head -n 1 "$1/$2") && kill -s "$0" "$pid" &&
    while kill -0 "$pid"; do sleep 0.02; done; rm -rf "$1""#;

/// How long the start and the end of a server may take.
const LIMIT: Duration = Duration::from_secs(30);
/// The number of ports to try: another process may take a port that was free.
const ATTEMPTS: usize = 5;

impl Server {
    /// A PostgreSQL, whose superuser `postgres` needs no password.
    ///
    /// # Errors
    /// Why there is none.
    pub fn postgres() -> Result<Server, String> {
        Server::begin(&POSTGRES)
    }

    /// Whether a PostgreSQL is installed.
    ///
    /// # Errors
    /// It is not.
    pub fn has_postgres() -> Result<(), String> {
        POSTGRES.installed().map(drop)
    }

    /// A Redis.
    ///
    /// # Errors
    /// Why there is none.
    pub fn redis() -> Result<Server, String> {
        Server::begin(&REDIS)
    }

    /// The port on 127.0.0.1.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// The Unix socket.
    pub fn socket(&self) -> PathBuf {
        (self.kind.socket)(self)
    }

    /// Ends its process at once, as a crash would.
    ///
    /// # Errors
    /// It goes on.
    pub fn kill(&self) -> Result<(), String> {
        let path = self.dir.join(self.kind.pid_file);
        let text = fs::read_to_string(&path).map_err(|error| self.described("kill", error))?;
        let pid = text.lines().next().unwrap_or_default();
        let kill = |signal: &str| self.run("kill", ["-s", signal, pid]);
        kill(self.kind.signal)?;
        let began = Instant::now();
        while kill("0").is_ok() {
            if began.elapsed() > LIMIT {
                return Err(self.described("kill", "the process goes on"));
            }
            thread::sleep(Duration::from_millis(5));
        }
        Ok(())
    }

    /// Starts it again with the data that it had, on the same port, and waits until it carries out commands.
    ///
    /// # Errors
    /// Why it does not start.
    pub fn start(&self) -> Result<(), String> {
        (self.kind.start)(self)?;
        let began = Instant::now();
        while let Err(error) = UnixStream::connect(self.socket()).and_then(self.kind.ready) {
            if began.elapsed() > LIMIT {
                return Err(self.described("start", error));
            }
            thread::sleep(Duration::from_millis(5));
        }
        Ok(())
    }

    fn begin(kind: &'static Kind) -> Result<Server, String> {
        let programs = kind.installed()?;
        static MADE: AtomicU32 = AtomicU32::new(0);
        let number = MADE.fetch_add(1, Ordering::Relaxed);
        let dir = env::temp_dir().join(format!("asyncio-server-{}-{number}", process::id()));
        let mut server = Server { kind, programs, dir, port: 0, user: None, keeper: None };
        let made = DirBuilder::new().mode(0o700).create(&server.dir);
        made.map_err(|error| server.described("a directory", error))?;
        let owner = fs::metadata(&server.dir).map_err(|error| server.described("stat", error))?;
        if owner.uid() == 0 {
            let user = unprivileged().ok_or("there is no user `nobody` to run a server")?;
            chown(&server.dir, Some(user.0), Some(user.1))
                .map_err(|error| server.described("chown", error))?;
            server.user = Some(user);
        }
        server.keeper = Some(server.keep().map_err(|error| server.described("sh", error))?);
        (kind.prepare)(&server)?;
        let mut outcome = Ok(());
        for _ in 0..ATTEMPTS {
            server.port = free_port().map_err(|error| server.described("a port", error))?;
            outcome = server.start();
            if outcome.is_ok() {
                break;
            }
        }
        outcome.map(|()| server)
    }

    fn described(&self, what: &str, error: impl fmt::Display) -> String {
        format!("{}: {what}: {error}", self.kind.name)
    }

    /// A program that runs as the user, without output.
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
        command.args(["-c", KEEPER, self.kind.signal]).arg(&self.dir).arg(self.kind.pid_file);
        // A signal of the terminal must not end the server, which the program may need until its own end.
        command.process_group(0).stdin(Stdio::piped()).spawn()
    }

    fn run<'a>(
        &self,
        program: &str,
        arguments: impl IntoIterator<Item = &'a str>,
    ) -> Result<(), String> {
        let installed = self.programs.join(program);
        let program = if installed.is_file() { installed } else { program.into() };
        match self.command(&program).args(arguments).status() {
            Ok(status) if status.success() => Ok(()),
            Ok(status) => Err(self.described(&program.to_string_lossy(), status)),
            Err(error) => Err(self.described(&program.to_string_lossy(), error)),
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if let Some(mut keeper) = self.keeper.take() {
            // This closes its input first.
            let _ = keeper.wait();
        }
        // If the user is not permitted to do that.
        let _ = fs::remove_dir_all(&self.dir);
    }
}

impl fmt::Debug for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "<Server {} on port {}>", self.kind.name, self.port)
    }
}

fn free_port() -> io::Result<u16> {
    Ok(TcpListener::bind("127.0.0.1:0")?.local_addr()?.port())
}

/// Returns the directory of these programs. PostgreSQL's are in directories by version on Debian; the newest is
/// returned.
fn programs(names: &[&str]) -> Option<PathBuf> {
    let path = env::var_os("PATH").unwrap_or_default();
    let installed = fs::read_dir("/usr/lib/postgresql").into_iter().flatten().flatten();
    let mut versions: Vec<PathBuf> = installed.map(|entry| entry.path().join("bin")).collect();
    versions.sort_by_key(|path| version(path));
    let mut all = versions.into_iter().rev().chain(env::split_paths(&path));
    all.find(|dir| names.iter().all(|name| dir.join(name).is_file()))
}

/// Returns the version of such a directory: 15 for `…/15/bin`.
fn version(bin: &Path) -> Option<u32> {
    bin.parent()?.file_name()?.to_str()?.parse().ok()
}

/// The user ID and group ID of the unprivileged account `nobody`, if the system has one.
fn unprivileged() -> Option<(u32, u32)> {
    let users = fs::read_to_string("/etc/passwd").ok()?;
    let line = users.lines().find(|line| line.starts_with("nobody:"))?;
    let mut fields = line.split(':').skip(2);
    Some((fields.next()?.parse().ok()?, fields.next()?.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_dies_comes_back_and_leaves_nothing() {
        for begin in [Server::postgres, Server::redis] {
            let server = match begin() {
                Ok(server) => server,
                Err(why) => {
                    eprintln!("SKIPPED: {why}");
                    continue;
                }
            };
            let (dir, port) = (server.dir.clone(), server.port());
            server.kill().unwrap();
            assert!(UnixStream::connect(server.socket()).is_err());
            server.start().unwrap();
            assert_eq!(server.port(), port);
            drop(server);
            assert!(!dir.exists());
        }
    }

    #[test]
    fn a_server_that_loads_its_data_has_not_started() {
        let server = match Server::redis() {
            Ok(server) => server,
            Err(why) => return eprintln!("SKIPPED: {why}"),
        };
        let commands: String = (0..100_000).map(|n| format!("SET key:{n} {n}\r\n")).collect();
        let mut stream = UnixStream::connect(server.socket()).unwrap();
        let responses = BufReader::new(stream.try_clone().unwrap());
        let reading = thread::spawn(|| {
            responses.lines().take(100_000).for_each(|line| {
                assert_eq!(line.unwrap(), "+OK");
            })
        });
        stream.write_all(commands.as_bytes()).unwrap();
        reading.join().unwrap();
        server.kill().unwrap();
        server.start().unwrap();
        let mut stream = UnixStream::connect(server.socket()).unwrap();
        stream.write_all(b"GET key:99999\r\n").unwrap();
        let mut responses = BufReader::new(stream).lines().map(Result::unwrap);
        assert_eq!(responses.next().unwrap(), "$5");
    }
}

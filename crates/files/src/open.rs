//! [`open`], and its keyword arguments.

use crate::{file::File, mode::Mode, remote::failed};
use asyncio_core::{AsyncContextManager, Error, Result, wait::Leaf, wait_site::WaitSite};
use asyncio_sockets::Lookup;
use std::{
    future::Future,
    io::{self, ErrorKind, Seek, SeekFrom},
    os::unix::fs::OpenOptionsExt,
    path::Path,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};

/// Opens a file (Python's `open`, `aiofiles.open`) for reading, unless [`mode`](Open::mode) says
/// otherwise. Awaiting it returns the [`File`]; `with` passes the file to a block and closes it at
/// the end.
///
/// # Errors
/// `Value` for a mode that Python does not have, and for a path that contains a null byte; `Io` with the
/// system's error, for example that the file does not exist, is a directory, or must not be opened; `Runtime`
/// without a running loop.
///
/// # Cancellation
/// The file is closed if it was already opened. A file that the mode creates or truncates may have
/// been created or truncated.
///
/// ```
/// use asyncio::{AsyncContextManager, files};
///
/// #[asyncio::main]
/// async fn main() -> asyncio::Result<()> {
///     let directory = files::temp::dir().await?;
///     let path = directory.path().join("notes");
///     files::open(&path).mode("w").with(async |file| {
///         file.write("one\ntwo\n").await?;
///         Ok(())
///     }).await?;
///
///     let mut file = files::open(&path).await?;
///     assert_eq!(file.readline().await?, "one\n");
///     assert_eq!(file.readline().await?, "two\n");
///     file.close().await
/// }
/// ```
#[track_caller]
pub fn open(path: impl AsRef<Path>) -> Open {
    let path = path.as_ref().into();
    Open { path, mode: Ok(Mode::READ), permissions: None, site: WaitSite::here(&"open") }
}

/// The value that [`open`] returns, with its keyword arguments. Awaiting it opens the file.
#[derive(Debug)]
#[must_use = "nothing is opened unless it is awaited"]
pub struct Open {
    path: Arc<Path>,
    mode: Result<Mode>,
    permissions: Option<u32>,
    site: WaitSite,
}

impl Open {
    /// Sets Python's mode string: `r` to read (the default), `w` to write a new or empty file, `a` to
    /// append, `x` to write a file that does not exist yet; with `+` to read and write. `b` and `t` have
    /// no effect, because a file always reads and writes bytes.
    ///
    /// Any other mode is an error when the file is opened.
    pub fn mode(mut self, mode: &str) -> Self {
        self.mode = Mode::parse(mode);
        self
    }

    /// Sets the permissions of a file that is created, as for `chmod`, before the process's mask is
    /// applied. The default is `0o666`.
    pub fn permissions(mut self, permissions: u32) -> Self {
        self.permissions = Some(permissions);
        self
    }
}

impl IntoFuture for Open {
    type Output = Result<File>;
    type IntoFuture = Opening;

    fn into_future(self) -> Opening {
        let Open { path, mode, permissions, site } = self;
        let opening = mode.map(|mode| {
            let path = path.clone();
            let open = move || open_now(&path, mode, permissions);
            (mode, Lookup::new(site, open))
        });
        Opening { opening, path, site }
    }
}

fn open_now(path: &Path, mode: Mode, permissions: Option<u32>) -> Result<std::fs::File> {
    let open = || -> io::Result<std::fs::File> {
        let mut options = mode.options();
        if let Some(permissions) = permissions {
            options.mode(permissions);
        }
        let mut file = options.open(path)?;
        // The system opens a directory for reading, and refuses each read.
        if file.metadata()?.is_dir() {
            return Err(ErrorKind::IsADirectory.into());
        }
        if mode.appends() {
            match file.seek(SeekFrom::End(0)) {
                Err(error) if error.kind() == ErrorKind::NotSeekable => {}
                outcome => _ = outcome?,
            }
        }
        Ok(file)
    };
    open().map_err(|error| failed("open", path, error))
}

/// The future of [`open`].
#[derive(Debug)]
#[must_use = "futures do nothing unless they are awaited"]
pub struct Opening {
    opening: Result<(Mode, Lookup<std::fs::File>)>,
    path: Arc<Path>,
    site: WaitSite,
}

impl Future for Opening {
    type Output = Result<File>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<File>> {
        let Opening { opening, path, site } = &mut *self;
        let (mode, lookup) = opening.as_mut().map_err(|error| error.clone())?;
        let file = ready!(Pin::new(lookup).poll(cx))?;
        Poll::Ready(Ok(File::new(file, *mode, path.clone(), site.location())))
    }
}

impl Leaf for Opening {}

/// Passes the file to the block, and closes it after the block, even if the block fails.
impl AsyncContextManager for Open {
    type Target = File;

    async fn enter(&mut self) -> Result<File> {
        let (path, mode) = (self.path.clone(), self.mode.clone());
        Open { path, mode, ..*self }.await
    }

    async fn exit(&mut self, file: File, _: Option<&Error>) -> Result<()> {
        file.close().await
    }
}

//! [`Stream`]: the object behind a [`Transport`].

use crate::{connection::Connection, slot::Calls, transport::Transport};
use asyncio_core::{Error, Result, wait_site::WaitSite};
use asyncio_future::Future;
use std::{any::Any, io::IoSlice, rc::Rc};

/// The part of a stream transport that lives in the loop: a [`Connection`], or TLS over another
/// stream.
///
/// The methods do what those of the same names of [`Transport`] do.
pub(crate) trait Stream {
    fn handle(&self) -> &Transport;
    /// Calls `connection_made` when the stream is ready, and then sets the result of `made`.
    fn start(&self, made: Option<Future<()>>);
    fn set_protocol(&self, protocol: Calls);
    /// Returns the `RefCell` of the protocol.
    fn protocol(&self) -> Option<Rc<dyn Any>>;
    fn close(&self);
    /// Ends the stream without sending the buffered data.
    fn force_close(&self, error: Option<Error>);
    fn pause_reading(&self);
    fn resume_reading(&self);
    fn is_reading(&self) -> bool;
    fn write(&self, data: &[u8]) -> Result<()>;
    fn writelines(&self, pieces: &[IoSlice<'_>]) -> Result<()>;
    fn write_eof(&self);
    fn buffered(&self) -> usize;
    fn water_marks(&self) -> (usize, usize);
    fn set_water_marks(&self, low: usize, high: usize);
    /// Returns whether so much is buffered that the protocol has to pause.
    #[cfg(feature = "tls")]
    fn is_full(&self) -> bool;
    /// Keeps other callers from writing, and stops reading. The future is done when the buffered
    /// data has been sent.
    fn begin_sendfile(&self, site: WaitSite) -> Result<Future<()>>;
    /// Lets others write again. An error that broke the connection ends it.
    fn end_sendfile(&self, error: Option<Error>);
}

/// Calls the methods of the same names of the type itself.
macro_rules! forward {
    ($($(#[$when:meta])* $name:ident($($argument:ident: $type:ty),*) $(-> $output:ty)?;)*) => {
        impl Stream for Connection {
            $($(#[$when])* fn $name(&self, $($argument: $type),*) $(-> $output)? {
                Connection::$name(self, $($argument),*)
            })*
        }
    };
}

forward! {
    handle() -> &Transport;
    start(made: Option<Future<()>>);
    set_protocol(protocol: Calls);
    protocol() -> Option<Rc<dyn Any>>;
    close();
    force_close(error: Option<Error>);
    pause_reading();
    resume_reading();
    is_reading() -> bool;
    write(data: &[u8]) -> Result<()>;
    writelines(pieces: &[IoSlice<'_>]) -> Result<()>;
    write_eof();
    buffered() -> usize;
    water_marks() -> (usize, usize);
    set_water_marks(low: usize, high: usize);
    #[cfg(feature = "tls")]
    is_full() -> bool;
    begin_sendfile(site: WaitSite) -> Result<Future<()>>;
    end_sendfile(error: Option<Error>);
}

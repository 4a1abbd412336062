//! Takes the place of TLS without the feature `tls`. The types have no values, so the compiler removes the TLS paths.

use crate::{
    connection::{Connection, Kind},
    extra_info::Names,
    flow_control::HIGH_WATER,
    io::Io,
    slot::Calls,
    starting::Side,
    transport::Transport,
};
use asyncio_core::{Error, Result, raw::LoopLocal, wait_site::WaitSite};

/// The error as it is.
pub(crate) fn named(_: WaitSite, error: Error) -> Error {
    error
}

/// A type for the object of a [`Layer`]. There is none.
pub(crate) type Place = Connection;

/// No TLS layer.
#[derive(Debug)]
pub(crate) struct Layer;

impl Layer {
    pub(crate) const NONE: Layer = Layer;

    #[inline]
    pub(crate) fn get(&self) -> Option<LoopLocal<Connection>> {
        None
    }

    pub(crate) fn high_water(&self) -> usize {
        HIGH_WATER
    }
}

/// No arguments.
#[derive(Clone, Debug, Default)]
pub(crate) struct Arguments(());

impl Arguments {
    pub(crate) fn plan(&self, _: &Side) -> Result<Plan> {
        Ok(Plan)
    }
}

/// How connections are opened: as they are.
#[derive(Clone, Debug)]
pub(crate) struct Plan;

impl Plan {
    pub(crate) fn open(
        &self,
        io: socket2::Socket,
        kind: Kind,
        names: Names,
        protocol: Calls,
    ) -> Result<Transport> {
        Connection::open(Io::Socket(io), kind, names, protocol)
    }
}

//! Connecting to one of several addresses: they are tried in order, or in a race.

use super::{new_socket, stream};
use asyncio_core::{
    Error, ExceptionGroup, Result, TimeoutError,
    raw::sync::{Arc, Mutex},
    wait_site::WaitSite,
};
use asyncio_sockets::{
    AddrInfo, Domain, Endpoint, Protocol, Socket, Target, described, ensure_resolved, sock_connect,
};
use asyncio_task::staggered_race_at;
use std::{collections::VecDeque, io, time::Duration};

/// asyncio's keyword arguments.
#[derive(Debug, Default)]
pub(super) struct Options {
    pub(super) family: Option<Domain>,
    pub(super) protocol: Option<Protocol>,
    pub(super) flags: i32,
    pub(super) local: Option<Target>,
    pub(super) delay: Option<Duration>,
    pub(super) interleave: Option<usize>,
    pub(super) all_errors: bool,
}

impl Options {
    /// The number of addresses of the first family that come first; 0 if they are tried in the
    /// order of the look-up.
    pub(super) fn first_count(&self) -> usize {
        self.interleave.unwrap_or(usize::from(self.delay.is_some()))
    }
}

/// Returns the connected socket.
pub(super) async fn connect(
    endpoint: Endpoint,
    options: Options,
    site: WaitSite,
) -> Result<Socket> {
    let target = match endpoint {
        Endpoint::Address(target) => target,
        Endpoint::Socket(socket) => return stream(socket, site),
    };
    let first_count = options.first_count();
    let Options { family, protocol, flags, local, delay, all_errors, .. } = options;
    let resolve =
        |target| ensure_resolved(target).family(family).protocol(protocol).flags(flags).at(site);
    let mut found = resolve(target).await?;
    let local = match local {
        Some(target) => Some(resolve(target).await?),
        None => None,
    };
    if first_count > 0 {
        found = interleaved(found, first_count);
    }
    let attempts = Arc::new(Attempts { local, failures: Mutex::default(), site });
    let connected = match delay {
        None => attempts.in_order(found).await?,
        Some(delay) => attempts.race(found, delay).await?,
    };
    connected.ok_or_else(|| attempts.failed(all_errors))
}

/// Returns the addresses of the families in turns, in the order of the families, with `first_count`
/// of the first family before all others (asyncio's `_interleave_addrinfos`).
pub(super) fn interleaved(found: Vec<AddrInfo>, first_count: usize) -> Vec<AddrInfo> {
    let mut families: Vec<VecDeque<AddrInfo>> = Vec::new();
    for info in found {
        match families.iter_mut().find(|of| of[0].family == info.family) {
            Some(of) => of.push_back(info),
            None => families.push(VecDeque::from([info])),
        }
    }
    let mut ordered = Vec::new();
    if let Some(first) = families.first_mut() {
        let before = (first_count - 1).min(first.len());
        ordered.extend(first.drain(..before));
    }
    while families.iter().any(|of| !of.is_empty()) {
        ordered.extend(families.iter_mut().filter_map(VecDeque::pop_front));
    }
    ordered
}

/// The attempts to connect, one for each address.
pub(super) struct Attempts {
    /// The addresses to connect from.
    pub(super) local: Option<Vec<AddrInfo>>,
    /// The errors of each attempt, in the order in which they started.
    pub(super) failures: Mutex<Vec<Vec<Error>>>,
    pub(super) site: WaitSite,
}

impl Attempts {
    /// Tries them one after another, until one succeeds.
    async fn in_order(&self, found: Vec<AddrInfo>) -> Result<Option<Socket>> {
        for info in found {
            match self.attempt(info).await {
                Ok(socket) => return Ok(Some(socket)),
                Err(Error::Io(_)) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(None)
    }

    /// Tries the next one when one has failed, or after `delay`. The first that succeeds cancels
    /// the others, which closes their sockets.
    pub(super) async fn race(
        self: &Arc<Self>,
        found: Vec<AddrInfo>,
        delay: Duration,
    ) -> Result<Option<Socket>> {
        let this = self.clone();
        let attempts = found.into_iter().map(move |info| {
            let this = this.clone();
            move || async move { this.attempt(info).await }
        });
        let race = staggered_race_at(self.site, attempts, delay).await?;
        Ok(race.winner.map(|(socket, _)| socket))
    }

    pub(super) async fn attempt(&self, info: AddrInfo) -> Result<Socket> {
        let number = {
            let mut failures = self.failures.lock();
            failures.push(Vec::new());
            failures.len() - 1
        };
        let outcome = self.try_to_connect(&info, number).await;
        if let Err(error @ Error::Io(_)) = &outcome {
            self.fails(number, error.clone());
        }
        outcome
    }

    fn fails(&self, number: usize, error: Error) {
        self.failures.lock()[number].push(error);
    }

    /// Creates, binds and connects a socket.
    async fn try_to_connect(&self, to: &AddrInfo, number: usize) -> Result<Socket> {
        let socket = new_socket(to.family, to.protocol, self.site)?;
        if let Some(local) = &self.local {
            self.bind(&socket, to.family, local, number)?;
        }
        sock_connect(&socket, &to.address).at(self.site).await?;
        Ok(socket)
    }

    /// Binds a socket to the first address for which it is possible.
    fn bind(
        &self,
        socket: &Socket,
        family: Domain,
        local: &[AddrInfo],
        number: usize,
    ) -> Result<()> {
        let what = self.site.what();
        let mut last = None;
        for AddrInfo { address, .. } in local.iter().filter(|info| info.family == family) {
            if let Some(error) = last.take() {
                self.fails(number, error);
            }
            let Err(error) = socket.get_ref().bind(address.as_sock_addr()) else { return Ok(()) };
            let text =
                format!("{what}: error while attempting to bind on address {address}: {error}");
            last = Some(described(text, error).into());
        }
        let text = format!("{what}: no matching local address with family={family:?} found");
        Err(last.unwrap_or_else(|| io::Error::new(io::ErrorKind::AddrNotAvailable, text).into()))
    }

    /// Returns the error for all failures.
    pub(super) fn failed(&self, all: bool) -> Error {
        let errors: Vec<Error> = self.failures.lock().drain(..).flatten().collect();
        let Some(first) = errors.first().cloned() else {
            return Error::Timeout(TimeoutError::new(format!("{} failed", self.site.what())));
        };
        if all {
            let text = format!("{} failed", self.site.what());
            return Error::Group(ExceptionGroup::new(text, errors));
        }
        let texts: Vec<String> = errors.iter().map(Error::to_string).collect();
        if texts.iter().all(|text| *text == texts[0]) {
            return first;
        }
        let kind_of = |error: &Error| match error {
            Error::Io(error) => error.kind(),
            _ => io::ErrorKind::Other,
        };
        let kind = kind_of(&first);
        let is_one = errors.iter().all(|error| kind_of(error) == kind);
        let kind = if is_one { kind } else { io::ErrorKind::Other };
        let text = format!("Multiple exceptions: {}", texts.join(", "));
        let number_of = |error: &Error| match error {
            Error::Io(error) => error.raw_os_error(),
            _ => None,
        };
        // If all attempts failed with the same error number, it is kept.
        let number = number_of(&first);
        match number.filter(|_| errors.iter().all(|error| number_of(error) == number)) {
            Some(number) => described(text, io::Error::from_raw_os_error(number)).into(),
            None => io::Error::new(kind, text).into(),
        }
    }
}

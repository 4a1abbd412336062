//! A server reaches the limit of file descriptors, and recovers. In a process of its own.

use asyncio_core::Result;
use asyncio_loop::{EventLoop, get_running_loop};
use asyncio_task::sleep;
use asyncio_transports::{Protocol, Transport, create_server};
use bytes::Bytes;
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use std::{
    cell::{Cell, RefCell},
    fs::File,
    net::TcpStream,
    os::fd::AsRawFd,
    rc::Rc,
    time::Duration,
};

/// Counts connections.
struct Count(Rc<Cell<usize>>);

impl Protocol for Count {
    fn connection_made(&mut self, _: &Transport) {
        self.0.set(self.0.get() + 1);
    }

    fn data_received(&mut self, _: &Transport, _: Bytes) {}
}

/// Sets the limit of the process.
fn allow(files: u64) {
    let (_, hard) = getrlimit(Resource::RLIMIT_NOFILE).unwrap();
    setrlimit(Resource::RLIMIT_NOFILE, files, hard).unwrap();
}

/// Allows this many descriptors beside those that there are, which are the lowest.
fn leave_room_for(count: u64, allowed: u64) {
    allow(allowed);
    let next = File::open("/dev/null").unwrap().as_raw_fd();
    allow(next as u64 + count);
}

#[test]
fn the_server_reports_pauses_for_a_second_and_goes_on() {
    // Its second passes when nothing else happens.
    let event_loop = EventLoop::builder().virtual_time(true).build().unwrap();
    let main = async {
        let (allowed, _) = getrlimit(Resource::RLIMIT_NOFILE)?;
        let made = Rc::new(Cell::new(0));
        let reports = Rc::new(RefCell::new(Vec::new()));
        let told = reports.clone();
        get_running_loop()?.set_exception_handler(move |_, context| {
            assert!(context.note("socket").unwrap().contains("TransportSocket"));
            told.borrow_mut().push(context.to_string());
        });
        let count = made.clone();
        let server = create_server(move || Count(count.clone()), ("127.0.0.1", 0)).await?;
        let address = server.local_addr().as_inet().unwrap();
        let clients: Vec<_> = (0..8).map(|_| TcpStream::connect(address).unwrap()).collect();

        leave_room_for(3, allowed);
        sleep(Duration::from_millis(900)).await?;
        assert_eq!((made.get(), reports.borrow().len()), (3, 1));
        assert!(reports.borrow()[0].contains("socket.accept() out of system resource"));
        assert!(server.is_serving());
        sleep(Duration::from_millis(200)).await?;
        assert_eq!((made.get(), reports.borrow().len()), (3, 2), "still none left");

        leave_room_for(2, allowed);
        sleep(Duration::from_millis(1000)).await?;
        assert_eq!((made.get(), reports.borrow().len()), (5, 3), "as many as there are");

        allow(allowed);
        let late = TcpStream::connect(address)?;
        sleep(Duration::from_millis(500)).await?;
        assert_eq!(made.get(), 5, "it still pauses");
        sleep(Duration::from_millis(600)).await?;
        assert_eq!((made.get(), reports.borrow().len()), (9, 3));

        // One that pauses can be closed.
        leave_room_for(1, allowed);
        let last = TcpStream::connect(address)?;
        sleep(Duration::from_millis(100)).await?;
        assert_eq!((made.get(), reports.borrow().len()), (9, 4));
        server.close();
        sleep(Duration::from_secs(2)).await?;
        assert_eq!(reports.borrow().len(), 4);
        drop((clients, late, last));
        server.wait_closed().await?;
        allow(allowed);
        Result::Ok(())
    };
    event_loop.run_until_complete(main).unwrap();
    event_loop.close().unwrap();
}

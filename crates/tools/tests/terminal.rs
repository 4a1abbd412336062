//! `asyncio top` in a terminal: tmux shows what it draws, and presses its keys.

mod picture;
mod stuck;

use std::{
    fs,
    process::{Command, Output},
    sync::atomic::{AtomicU32, Ordering},
    time::{Duration, Instant},
};
use stuck::Stuck;

/// A terminal of its own server, which ends with the test.
struct Terminal(String);

impl Terminal {
    fn tmux(&self, arguments: &[&str]) -> std::io::Result<Output> {
        Command::new("tmux").args(["-L", &self.0, "-f", "/dev/null"]).args(arguments).output()
    }

    /// One that runs a command; `None` where there is no tmux.
    fn run(command: &str, columns: usize) -> Option<Terminal> {
        static STARTED: AtomicU32 = AtomicU32::new(0);
        let number = STARTED.fetch_add(1, Ordering::Relaxed);
        let terminal = Terminal(format!("asyncio-{}-{number}", std::process::id()));
        let size = ["-x", &columns.to_string(), "-y", "30"];
        let arguments = [&["new-session", "-d", "-s", "top"][..], &size, &[command]].concat();
        let started = terminal.tmux(&arguments).is_ok_and(|output| output.status.success());
        started.then_some(terminal)
    }

    fn press(&self, keys: &[&str]) {
        let arguments = [&["send-keys", "-t", "top"][..], keys].concat();
        assert!(self.tmux(&arguments).is_ok_and(|output| output.status.success()), "{keys:?}");
    }

    fn screen(&self) -> String {
        self.capture(&[])
    }

    fn capture(&self, options: &[&str]) -> String {
        let arguments = [&["capture-pane", "-p", "-t", "top"][..], options].concat();
        let output = self.tmux(&arguments).expect("tmux was there");
        String::from_utf8_lossy(&output.stdout).into_owned()
    }

    /// The screen, as soon as it is as it should be.
    fn wait(&self, what: &str, is_so: impl Fn(&str) -> bool) -> String {
        let until = Instant::now() + Duration::from_secs(60);
        loop {
            let screen = self.screen();
            if is_so(&screen) {
                return screen;
            }
            assert!(Instant::now() < until, "{what}:\n{screen}");
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        let _ = self.tmux(&["kill-server"]);
    }
}

/// The names in the list, from above.
fn names(screen: &str) -> Vec<&str> {
    let rows = screen.lines().skip_while(|line| !line.contains("created at")).skip(1);
    let rows = rows.take_while(|row| row.starts_with(|c: char| c.is_ascii_digit()));
    rows.filter_map(|row| row.split_whitespace().nth(1)).collect()
}

#[test]
fn top_starts_sorts_filters_shows_a_chain_and_quits() {
    let program = Stuck::start("stuck", &["kinds"]);
    let command =
        format!("{} top {}; echo end: $?; sleep 60", env!("CARGO_BIN_EXE_asyncio"), program.pid());
    let Some(terminal) = Terminal::run(&command, 160) else {
        println!("SKIPPED: there is no tmux");
        return;
    };
    let begun = ["Task-1", "holder", "locker", "getter", "putter", "foreign", "inner", "outer"];
    let screen = terminal.wait("it starts", |screen| names(screen).len() == begun.len());
    assert_eq!(names(&screen), begun, "{screen}");
    assert!(screen.contains("7 waiting, 1 suspended") && screen.contains("sleep 2"), "{screen}");

    terminal.press(&["s"]);
    let mut sorted = begun.to_vec();
    sorted.sort_unstable();
    terminal.wait("it sorts by name", |screen| names(screen) == sorted);
    terminal.press(&["r"]);
    sorted.reverse();
    terminal.wait("it reverses the order", |screen| names(screen) == sorted);

    terminal.press(&["/", "q", "u", "e", "u", "e"]);
    terminal.wait("it filters", |screen| names(screen) == ["putter", "getter"]);
    terminal.press(&["Escape"]);
    terminal.wait("it shows all again", |screen| names(screen).len() == begun.len());

    terminal.press(&["Home", "Down", "Enter"]);
    terminal.wait("it shows a chain", |screen| screen.contains("┌ chain") && screen.contains("▶"));
    terminal.press(&["Escape"]);
    terminal.wait("it closes the chain", |screen| !screen.contains("┌ chain"));
    terminal.press(&["Space"]);
    terminal.wait("it stops", |screen| screen.contains("PAUSED"));

    terminal.press(&["q"]);
    terminal
        .wait("it ends", |screen| screen.contains("end: 0") && !screen.contains("asyncio top:"));
}

/// The picture in the README, which `PICTURE=write` in the environment takes anew.
#[test]
fn top_warns_of_what_may_be_wrong_and_is_painted() {
    const COLUMNS: usize = 178;
    let program = Stuck::start("stuck", &["shop"]);
    let command = format!("{} top {}", env!("CARGO_BIN_EXE_asyncio"), program.pid());
    let Some(terminal) = Terminal::run(&command, COLUMNS) else {
        println!("SKIPPED: there is no tmux");
        return;
    };
    let warnings = [" busy ", " often ", " grows "];
    terminal.wait("it warns", |screen| warnings.iter().all(|warning| screen.contains(warning)));
    let common_waits = |line: &str| line.starts_with("most: ") && line.contains("Lock.acquire");
    let screen = terminal.wait("it names what waits", |screen| screen.lines().any(common_waits));
    assert!(screen.contains("grows: crates/tools/examples/stuck.rs:"), "{screen}");
    assert!(screen.contains("queues: \"orders\" 0/20, 1 getter waiting"), "{screen}");
    let picture = picture::svg(&terminal.capture(&["-e"]), COLUMNS);
    assert!(picture.contains("#f9e2af") && picture.contains("asyncio top: process"), "{picture}");
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/top.svg");
    if std::env::var_os("PICTURE").is_some_and(|value| value == "write") {
        fs::write(path, picture).expect("the picture can be written");
    }
    assert!(fs::read_to_string(path).is_ok_and(|picture| picture.starts_with("<svg ")));
}

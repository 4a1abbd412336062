//! The live view: `asyncio top`.

mod model;
mod view;

use crate::{Failure, Memory, Process, Reader, process::monotonic};
use ratatui::crossterm::event::{self, Event, KeyCode, KeyEvent, KeyEventKind, KeyModifiers};
use std::{io, time::Duration};
use view::{Popup, View};

pub use model::{LoopLine, Model, Row, Sort, Warning};

/// The interval between two samples of the program.
const PERIOD: u64 = 1_000_000_000;

/// The number of rows that `PgUp` and `PgDn` scroll.
const PAGE: usize = 20;

/// Shows a process in the terminal, until the user ends it.
///
/// # Errors
/// Fails if the process cannot be read, has ended, or if there is no terminal.
pub fn run(process: &Process) -> Result<(), Failure> {
    let mut reader = Reader::new(process)?;
    let mut model = Model::default();
    model.update(reader.snapshot()?, monotonic());
    let no_terminal = |why: io::Error| Failure::new(format!("top needs a terminal: {why}"));
    let mut terminal = ratatui::try_init().map_err(no_terminal)?;
    let outcome = watch(&mut terminal, &process.name(), &mut reader, &mut model);
    ratatui::restore();
    outcome
}

fn watch(
    terminal: &mut ratatui::DefaultTerminal,
    name: &str,
    reader: &mut Reader<'_>,
    model: &mut Model,
) -> Result<(), Failure> {
    let failed = |why: io::Error| Failure::new(format!("the terminal has failed: {why}"));
    let mut view = View::default();
    let mut looked_at = monotonic();
    loop {
        terminal.draw(|frame| view::draw(frame, name, model, &mut view)).map_err(failed)?;
        let left = (looked_at + PERIOD).saturating_sub(monotonic());
        if event::poll(Duration::from_nanos(left)).map_err(failed)? {
            let pressed = match event::read().map_err(failed)? {
                Event::Key(key) if key.kind == KeyEventKind::Press => Some(key),
                _ => None,
            };
            if pressed.is_some_and(|key| view.press(key, model)) {
                return Ok(());
            }
        }
        if monotonic() >= looked_at + PERIOD {
            looked_at = monotonic();
            if !view.paused {
                model.update(reader.snapshot()?, looked_at);
            }
        }
    }
}

impl View {
    /// Handles a key; returns true if it ends the view.
    fn press(&mut self, key: KeyEvent, model: &Model) -> bool {
        let is_control = key.modifiers.contains(KeyModifiers::CONTROL);
        if is_control && key.code == KeyCode::Char('c') {
            return true;
        }
        match key.code {
            KeyCode::Esc => match (self.writes, &self.popup) {
                (false, Popup::Help | Popup::Chain(_)) => self.popup = Popup::None,
                _ => {
                    self.writes = false;
                    self.filter.clear();
                }
            },
            KeyCode::Enter if self.writes => self.writes = false,
            KeyCode::Backspace if self.writes => _ = self.filter.pop(),
            KeyCode::Char(c) if self.writes => self.filter.push(c),
            KeyCode::Enter => {
                let rows = model.rows(self.sort, self.reverse, &self.filter);
                let chain = rows.get(self.selected).map(|row| Popup::Chain(row.task.id));
                self.popup = chain.unwrap_or_default();
            }
            KeyCode::Char('q') => return true,
            KeyCode::Char('?') => self.popup = Popup::Help,
            KeyCode::Char('/') => self.writes = true,
            KeyCode::Char('s') => self.sort = self.sort.next(),
            KeyCode::Char('r') => self.reverse = !self.reverse,
            KeyCode::Char(' ' | 'p') => self.paused = !self.paused,
            KeyCode::Up => self.selected = self.selected.saturating_sub(1),
            // A position beyond the end is corrected where the rows are counted.
            KeyCode::Down => self.selected = self.selected.saturating_add(1),
            KeyCode::PageUp => self.selected = self.selected.saturating_sub(PAGE),
            KeyCode::PageDown => self.selected = self.selected.saturating_add(PAGE),
            KeyCode::Home => self.selected = 0,
            KeyCode::End => self.selected = usize::MAX,
            _ => {}
        }
        false
    }
}

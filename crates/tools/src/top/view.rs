//! Drawing the view.

use super::model::{LoopLine, Model, Row, Sort};
use crate::awaited_by::duration;
use ratatui::{
    Frame,
    layout::{Constraint, Layout, Rect},
    style::{Color, Modifier, Style, Stylize},
    text::{Line, Text},
    widgets::{Block, Clear, Paragraph, Row as TableRow, Table, TableState},
};

/// The user's selection.
#[derive(Debug, Default)]
pub(super) struct View {
    pub(super) sort: Sort,
    pub(super) reverse: bool,
    pub(super) filter: String,
    /// Whether the filter is being typed.
    pub(super) writes: bool,
    pub(super) paused: bool,
    pub(super) selected: usize,
    /// The lines above the list.
    pub(super) popup: Popup,
}

#[derive(Debug, Default, PartialEq, Eq)]
pub(super) enum Popup {
    #[default]
    None,
    Help,
    Chain(u64),
}

/// The number of most frequent wait places that are shown.
const COMMON_WAITS: usize = 3;

const HELP: &str = "\
q       quit                    s       next order
space   pause or resume         r       reverse the order
/       filter; Esc clears it   Enter   what the task waits for, and what waits for it
↑ ↓ PgUp PgDn Home End          Esc     close this

Warnings: the task
busy    runs one step for more than a second
often   is woken more than a thousand times in a second
grows   is one of the tasks created at one place, whose number keeps growing
never   was not woken for more than a minute";

/// Draws everything.
pub(super) fn draw(frame: &mut Frame<'_>, name: &str, model: &Model, view: &mut View) {
    let mut head = vec![title(name, model, view)];
    head.extend(model.loops().iter().map(loop_line));
    head.push(kinds(model));
    head.extend(common_waits(model));
    head.extend(queues(model));
    head.extend(growing(model));
    let head_height = (head.len() as u16).min(frame.area().height / 2);
    let parts = [Constraint::Length(head_height), Constraint::Min(1), Constraint::Length(1)];
    let [top, middle, bottom] = Layout::vertical(parts).areas(frame.area());
    frame.render_widget(Paragraph::new(Text::from(head)), top);
    let rows = model.rows(view.sort, view.reverse, &view.filter);
    view.selected = view.selected.min(rows.len().saturating_sub(1));
    draw_rows(frame, middle, &rows, view);
    frame.render_widget(Paragraph::new(foot(view, rows.len())), bottom);
    let (title, lines) = match view.popup {
        Popup::None => return,
        Popup::Help => (" help ", HELP.lines().map(str::to_owned).collect()),
        Popup::Chain(id) => (" chain ", model.chain(id)),
    };
    popup(frame, title, lines);
}

fn title(name: &str, model: &Model, view: &View) -> Line<'static> {
    let states = model.states().filter(|(_, count)| *count > 0);
    let states: Vec<String> = states.map(|(state, count)| format!("{count} {state}")).collect();
    let paused = if view.paused { "  PAUSED" } else { "" };
    Line::from(format!("asyncio top: {name}: {}{paused}", states.join(", "))).bold()
}

fn loop_line(line: &LoopLine) -> Line<'static> {
    let LoopLine { thread, busy, steps, counts, tasks } = line;
    let longest = match counts.longest_step {
        0 => format!("longest stretch {}", duration(counts.longest_stretch)),
        step => format!("longest step {}", duration(step)),
    };
    let late: u64 = counts.late[2..].iter().sum();
    Line::from(format!(
        "{thread}: {:3.0} % busy, {steps:.0} steps/s, {longest}; {tasks} tasks, {} timers ({late} late), \
         {} descriptors, {} outside, {} ready",
        busy * 100.0,
        counts.timers,
        counts.descriptors,
        counts.outstanding,
        counts.ready,
    ))
}

fn kinds(model: &Model) -> Line<'static> {
    let kinds = model.kinds().into_iter().map(|(kind, count)| format!("{kind} {count}"));
    Line::from(format!("waits: {}", kinds.collect::<Vec<_>>().join(", "))).dim()
}

fn common_waits(model: &Model) -> Option<Line<'static>> {
    let sites = model.common_waits();
    let sites = sites.iter().take(COMMON_WAITS).map(|(place, count)| format!("{place} {count}"));
    let sites: Vec<String> = sites.collect();
    (!sites.is_empty()).then(|| Line::from(format!("most: {}", sites.join(", "))).dim())
}

fn queues(model: &Model) -> Option<Line<'static>> {
    let queues: Vec<String> = model.queues().iter().map(ToString::to_string).collect();
    (!queues.is_empty()).then(|| Line::from(format!("queues: {}", queues.join("; "))).dim())
}

fn growing(model: &Model) -> Option<Line<'static>> {
    let growing = model.growing();
    let places = growing.iter().map(|(place, now, came)| format!("{place} {now} (+{came})"));
    let places: Vec<String> = places.collect();
    (!places.is_empty()).then(|| Line::from(format!("grows: {}", places.join(", "))).yellow())
}

fn draw_rows(frame: &mut Frame<'_>, area: Rect, rows: &[&Row], view: &View) {
    let columns =
        ["thread", "task", "state", "lasts", "wakes/s", "warning", "waits for", "created at"];
    let header = columns.map(|column| match view.sort.column() == column {
        true => format!("{column}{}", if view.reverse { "▲" } else { "▼" }),
        false => column.to_owned(),
    });
    // Only the visible rows are formatted: there may be a hundred thousand.
    let height = usize::from(area.height).saturating_sub(1).max(1);
    let from = view.selected / height * height;
    let shown = rows.iter().skip(from).take(height).map(|row| table_row(row));
    let widths = [
        Constraint::Length(8),
        Constraint::Length(20),
        Constraint::Length(9),
        Constraint::Length(8),
        Constraint::Length(8),
        Constraint::Length(8),
        Constraint::Fill(3),
        Constraint::Fill(2),
    ];
    let table = Table::new(shown, widths)
        .header(TableRow::new(header).style(Style::new().add_modifier(Modifier::REVERSED)))
        .row_highlight_style(Style::new().add_modifier(Modifier::REVERSED));
    let mut state = TableState::new().with_selected(view.selected - from);
    frame.render_stateful_widget(table, area, &mut state);
}

fn table_row(row: &Row) -> TableRow<'static> {
    let created = row.task.created_at.as_ref().map(ToString::to_string).unwrap_or_default();
    let cells = [
        row.thread.to_string(),
        row.task.name.to_string(),
        row.task.state.to_string(),
        duration(row.lasts),
        format!("{:.0}", row.wakes),
        row.warning.map(|warning| warning.to_string()).unwrap_or_default(),
        row.task.doing(),
        created,
    ];
    let color = if row.warning.is_some() { Color::Yellow } else { Color::Reset };
    TableRow::new(cells).style(Style::new().fg(color))
}

fn foot(view: &View, count: usize) -> Line<'static> {
    if view.writes {
        return Line::from(format!("filter: {}█", view.filter));
    }
    let filter = match view.filter.as_str() {
        "" => String::new(),
        filter => format!("filter: {filter}; "),
    };
    Line::from(format!(
        "{filter}{count} tasks   q end  s order  / filter  space stop  Enter chain  ? help"
    ))
    .dim()
}

fn popup(frame: &mut Frame<'_>, title: &'static str, lines: Vec<String>) {
    let all = frame.area();
    let width = lines.iter().map(|line| line.chars().count()).max().unwrap_or_default() as u16 + 4;
    let (width, height) = (width.min(all.width), (lines.len() as u16 + 2).min(all.height));
    let area = Rect { x: (all.width - width) / 2, y: (all.height - height) / 2, width, height };
    let lines: Vec<Line<'_>> = lines.into_iter().map(Line::from).collect();
    frame.render_widget(Clear, area);
    frame.render_widget(Paragraph::new(lines).block(Block::bordered().title(title)), area);
}

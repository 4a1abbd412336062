//! A picture of a terminal: the contents that tmux captured, with colours, as SVG.

use std::fmt::Write;

/// How a letter is shown.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
struct Style {
    bold: bool,
    dim: bool,
    reversed: bool,
    yellow: bool,
}

impl Style {
    /// What a sequence of select-graphic-rendition parameters changes; those of other colours change nothing.
    fn select(&mut self, parameters: &str) {
        let mut parameters = parameters.split(';');
        while let Some(parameter) = parameters.next() {
            match parameter {
                "" | "0" => *self = Style::default(),
                "1" => self.bold = true,
                "2" => self.dim = true,
                "7" => self.reversed = true,
                "22" => (self.bold, self.dim) = (false, false),
                "27" => self.reversed = false,
                "33" | "93" => self.yellow = true,
                // One of 256 colours: `38;5;3`.
                "38" => self.yellow = matches!(parameters.nth(1), Some("3" | "11")),
                "39" => self.yellow = false,
                _ => {}
            }
        }
    }
}

/// Letters of a line that look alike.
type Run = (Style, String);

/// The lines of a capture.
fn runs(captured: &str) -> Vec<Vec<Run>> {
    let mut style = Style::default();
    let mut line_of = |line: &str| {
        let mut runs: Vec<Run> = Vec::new();
        for (at, part) in line.split("\u{1b}[").enumerate() {
            let text = match part.split_once('m').filter(|_| at > 0) {
                Some((parameters, text)) => {
                    style.select(parameters);
                    text
                }
                None => part,
            };
            if !text.is_empty() {
                runs.push((style, text.to_owned()));
            }
        }
        runs
    };
    captured.lines().map(&mut line_of).collect()
}

const LETTER: f64 = 8.4;
const LINE: f64 = 18.0;
const MARGIN: f64 = 12.0;
const PAPER: &str = "#1e1e2e";
const INK: &str = "#cdd6f4";

/// The picture of a terminal of so many columns.
pub(crate) fn svg(captured: &str, columns: usize) -> String {
    let lines = runs(captured);
    let width = columns as f64 * LETTER + 2.0 * MARGIN;
    let height = lines.len() as f64 * LINE + 2.0 * MARGIN;
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {width:.0} {height:.0}\" \
         font-family=\"monospace\" font-size=\"14\" xml:space=\"preserve\">\n\
         <rect width=\"100%\" height=\"100%\" rx=\"8\" fill=\"{PAPER}\"/>\n"
    );
    for (row, line) in lines.iter().enumerate() {
        let (mut column, y) = (0, MARGIN + row as f64 * LINE);
        for (style, text) in line {
            let letters = text.chars().count();
            let (x, length) = (MARGIN + column as f64 * LETTER, letters as f64 * LETTER);
            column += letters;
            let ink = if style.yellow { "#f9e2af" } else { INK };
            if style.reversed {
                let _ = writeln!(
                    svg,
                    "<rect x=\"{x:.1}\" y=\"{y:.0}\" width=\"{length:.1}\" height=\"{LINE}\" \
                     fill=\"{ink}\"/>"
                );
            }
            if text.trim().is_empty() {
                continue;
            }
            let fill = if style.reversed { PAPER } else { ink };
            let bold = if style.bold { " font-weight=\"bold\"" } else { "" };
            let dim = if style.dim { " opacity=\"0.65\"" } else { "" };
            let text = text.replace('&', "&amp;").replace('<', "&lt;");
            let _ = writeln!(
                svg,
                "<text x=\"{x:.1}\" y=\"{:.0}\" textLength=\"{length:.1}\" fill=\"{fill}\"{bold}{dim}>\
                 {text}</text>",
                y + 13.0
            );
        }
    }
    svg + "</svg>\n"
}

#[test]
fn letters_that_look_alike_are_one_run() {
    let (plain, warning) = (Style::default(), Style { yellow: true, ..Style::default() });
    let head = Style { bold: true, ..Style::default() };
    let captured =
        "\u{1b}[1mtop\u{1b}[0m a<b\n\u{1b}[38;5;3mbusy\u{1b}[39m &\n\u{1b}[7m  \u{1b}[27m";
    let lines = runs(captured);
    assert_eq!(lines[0], [(head, "top".to_owned()), (plain, " a<b".to_owned())]);
    assert_eq!(lines[1], [(warning, "busy".to_owned()), (plain, " &".to_owned())]);
    let picture = svg(captured, 10);
    assert!(picture.contains(" font-weight=\"bold\">top</text>"), "{picture}");
    assert!(picture.contains("> a&lt;b</text>") && picture.contains("> &amp;</text>"), "{picture}");
    assert_eq!(picture.matches("<rect x=").count(), 1, "{picture}");
}

//! `cargo xtask bench --plot`: draws the first table of figures in README.md.

use std::fmt::Write;

use crate::tidy::tree::Tree;

const README: &str = "README.md";
/// Where the picture is kept.
pub(crate) const PICTURE: &str = "benches/figures.svg";

/// The header of the table, which also gives the widths of its columns.
const HEADER: &str = "one operation ";
const WHAT: usize = 52;
const FIGURE: usize = 10;
const RATIO: usize = 7;
const CEILING: usize = 8;

/// A row of the table; everything is relative to the first peer.
#[derive(Debug, PartialEq)]
struct Row {
    what: String,
    ratio: f64,
    ceiling: Option<f64>,
    /// The other peers, by name.
    others: Vec<(String, f64)>,
}

/// The picture of the table in README.md, if there is one.
pub(crate) fn picture(tree: &Tree) -> Option<String> {
    let rows = rows(&tree.get(README)?.text);
    (!rows.is_empty()).then(|| draw(&rows))
}

/// The rows of the first table that have a ratio.
fn rows(text: &str) -> Vec<Row> {
    let table = text.lines().skip_while(|line| !line.starts_with(HEADER)).skip(1);
    table.take_while(|line| !line.starts_with("```")).filter_map(row).collect()
}

fn row(line: &str) -> Option<Row> {
    let mut rest = line.chars();
    let mut column = |width| rest.by_ref().take(width).collect::<String>().trim().to_owned();
    let (what, _figure) = (column(WHAT), column(FIGURE));
    let (ratio, ceiling) = (column(RATIO).parse().ok()?, column(CEILING).parse().ok());
    let peers = rest.as_str().trim().split("  ").filter_map(peer);
    let peers: Vec<(String, f64)> = peers.collect();
    let (_, first) = *peers.first()?;
    let others = peers.into_iter().skip(1).map(|(name, figure)| (name, figure / first)).collect();
    Some(Row { what, ratio, ceiling, others })
}

/// Parses `tokio 233.6 ns`: the name, and the figure in nanoseconds, in bytes or as a count.
fn peer(text: &str) -> Option<(String, f64)> {
    let words: Vec<&str> = text.split(' ').collect();
    let (scale, words) = match words.split_last()? {
        (&"µs", words) => (1e3, words),
        (&"ns" | &"B", words) => (1.0, words),
        _ => (1.0, &words[..]),
    };
    let (figure, name) = words.split_last()?;
    Some((name.join(" "), figure.parse::<f64>().ok()? * scale))
}

const LEFT: f64 = 340.0;
/// The width of a ratio of 1.
const ONE: f64 = 200.0;
/// The greatest ratio on the scale. Greater ones are marked at the edge.
const MAX: f64 = 2.0;
const TOP: f64 = 64.0;
const HEIGHT: f64 = 24.0;

fn draw(rows: &[Row]) -> String {
    let bottom = TOP + HEIGHT * rows.len() as f64;
    let (width, height) = (LEFT + ONE * MAX + 60.0, bottom + 34.0);
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {width} {height}\" \
         font-family=\"sans-serif\" font-size=\"12\">\n\
         <title>Cost of one operation, relative to tokio</title>\n\
         <rect width=\"{width}\" height=\"{height}\" fill=\"#fff\"/>\n"
    );
    let mut add = |element: String| svg += &(element + "\n");
    add(text(LEFT, 22.0, "start", "Cost of one operation, relative to tokio (shorter is better)"));
    let legend = "bar: asyncio   red line: its ceiling   ○ smol   ◇ monoio   › more than twice";
    add(text(LEFT, 40.0, "start", legend));
    for tenth in [0, 5, 10, 15, 20] {
        let ratio = f64::from(tenth) / 10.0;
        let (x, colour) = (at(ratio), if tenth == 10 { "#333" } else { "#ddd" });
        add(line(x, TOP - 6.0, bottom, colour));
        add(text(x, bottom + 18.0, "middle", &format!("{ratio:.1}")));
    }
    for (number, row) in rows.iter().enumerate() {
        let y = TOP + HEIGHT * number as f64;
        let middle = y + HEIGHT / 2.0 + 4.0;
        add(text(LEFT - 8.0, middle, "end", &row.what));
        let bar = at(row.ratio) - LEFT;
        add(format!(
            "<rect x=\"{LEFT}\" y=\"{}\" width=\"{bar:.1}\" height=\"{}\" fill=\"#4a7ebb\"/>",
            y + 4.0,
            HEIGHT - 8.0
        ));
        for (name, ratio) in &row.others {
            let mark = match name.as_str() {
                _ if *ratio > MAX => "›",
                "smol" => "○",
                "monoio" => "◇",
                _ => continue,
            };
            add(text(at(*ratio), middle, "middle", mark));
        }
        if let Some(ceiling) = row.ceiling {
            add(line(at(ceiling), y + 2.0, y + HEIGHT - 2.0, "#c00"));
        }
        add(text(at(MAX) + 16.0, middle, "start", &format!("{:.2}", row.ratio)));
    }
    svg + "</svg>\n"
}

fn at(ratio: f64) -> f64 {
    LEFT + ONE * ratio.min(MAX)
}

fn text(x: f64, y: f64, anchor: &str, text: &str) -> String {
    let mut escaped = String::new();
    for c in text.chars() {
        match c {
            '<' => escaped += "&lt;",
            '&' => escaped += "&amp;",
            _ => escaped.push(c),
        }
    }
    format!("<text x=\"{x:.1}\" y=\"{y:.1}\" text-anchor=\"{anchor}\">{escaped}</text>")
}

fn line(x: f64, from: f64, to: f64, colour: &str) -> String {
    let mut line = String::new();
    let _ = write!(line, "<line x1=\"{x:.1}\" x2=\"{x:.1}\" y1=\"{from:.1}\" y2=\"{to:.1}\" ");
    line + &format!("stroke=\"{colour}\" stroke-width=\"2\"/>")
}

#[cfg(test)]
mod tests {
    use super::*;

    const TABLE: &str = "\
Figures.

```text
one operation                                          asyncio  ratio ceiling  peers
lock, uncontended                                      16.5 ns   0.50    0.60  tokio 32.0 ns  smol 16.0 ns
allocations for a wake-up                                0.001                 tokio 0.001
system calls for an echo, 1 × 64 B                       3.000   1.00          epoll by hand 3.000  tokio 6.000
```

one operation                                          asyncio
```
";

    #[test]
    fn a_table_becomes_rows_relative_to_the_first_peer() {
        let lock = Row {
            what: "lock, uncontended".to_owned(),
            ratio: 0.5,
            ceiling: Some(0.6),
            others: vec![("smol".to_owned(), 0.5)],
        };
        let calls = Row {
            what: "system calls for an echo, 1 × 64 B".to_owned(),
            ratio: 1.0,
            ceiling: None,
            others: vec![("tokio".to_owned(), 2.0)],
        };
        assert_eq!(rows(TABLE), [lock, calls]);
        assert_eq!(peer("tokio 1.5 µs"), Some(("tokio".to_owned(), 1500.0)));
    }

    #[test]
    fn a_bar_is_as_long_as_the_ratio_and_marks_stay_inside() {
        let svg = draw(&rows(&TABLE.replace("smol 16.0", "smol 1600.0")));
        assert!(svg.contains("width=\"100.0\"") && svg.contains("width=\"200.0\""), "{svg}");
        assert!(svg.contains(">›</text>"), "{svg}");
    }
}

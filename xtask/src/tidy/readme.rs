//! The picture of the figures matches the table in README.md.

use super::Findings;
use super::tree::Tree;
use crate::plot::{self, PICTURE};

pub(super) fn the_picture_shows_the_figures(tree: &Tree, findings: &mut Findings) {
    let Some(picture) = plot::picture(tree) else { return };
    if tree.get(PICTURE).is_none_or(|kept| kept.text != picture) {
        let remedy = "draw it again: `cargo xtask bench --plot`";
        findings.add(PICTURE, 0, format!("not the picture of the table in README.md; {remedy}"));
    }
}

#[cfg(test)]
mod tests {
    use super::super::found;
    use super::*;

    #[test]
    fn an_old_picture_is_found() {
        let header = "one operation                                          asyncio  ratio ceiling  peers\n";
        let row = "lock, uncontended                                      16.5 ns   0.50    0.60  tokio 33.0 ns\n";
        let readme = format!("{header}{row}```\n");
        let files = |picture| [("README.md", &*readme), (PICTURE, picture)];
        assert_eq!(
            found(the_picture_shows_the_figures, &files("<svg/>")),
            ["benches/figures.svg:1"]
        );
        let picture = plot::picture(&Tree::of(&files(""))).unwrap_or_default();
        assert_eq!(found(the_picture_shows_the_figures, &files(&picture)), [""; 0]);
        assert_eq!(found(the_picture_shows_the_figures, &[("README.md", "no table")]), [""; 0]);
    }
}

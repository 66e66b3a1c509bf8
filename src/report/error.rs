//! An error as text: what happened, the place, the causes, the state, what to do next.

use annotate_snippets::{AnnotationKind, Level, Renderer, Snippet};

use super::Style;
use crate::error::{Error, Place};

/// The text of `error` and of those that came with it.
pub fn render(error: &Error, style: Style) -> String {
    let parts = error.parts();
    let mut text = match &parts.place {
        Some(place) => excerpt(&parts.message, place, style),
        None => format!("{} {}\n", style.bad("error:"), style.bold(&parts.message)),
    };
    let mut lines = |label: &str, list: &[String]| {
        for line in list {
            text.push_str(&format!("{} {}\n", style.bold(label), indented(line)));
        }
    };
    lines("caused by:", &parts.causes);
    lines("state:", &parts.state);
    lines("hint:", &parts.hints);
    for other in &parts.others {
        text.push('\n');
        text.push_str(&render(other, style));
    }
    text
}

/// Lines after the first are set in, so that a store's long message stays one item.
fn indented(line: &str) -> String {
    line.trim_end().replace('\n', "\n  ")
}

fn excerpt(message: &str, place: &Place, style: Style) -> String {
    let start = byte_of(&place.text, place.column - 1);
    let end = byte_of(&place.text, place.column - 1 + place.width);
    let snippet = Snippet::source(place.text.as_str())
        .line_start(place.line)
        .path(place.file.as_str())
        .annotation(AnnotationKind::Primary.span(start..end));
    let report = [Level::ERROR.primary_title(message).element(snippet)];
    let renderer = match style {
        Style::Colour => Renderer::styled(),
        Style::Plain => Renderer::plain(),
    };
    format!("{}\n", renderer.render(&report))
}

fn byte_of(text: &str, character: usize) -> usize {
    text.char_indices().nth(character).map_or(text.len(), |(at, _)| at)
}

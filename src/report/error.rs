//! An error as text: what happened, the place, the causes, the state, what to do next.

use annotate_snippets::{AnnotationKind, Level, Renderer, Snippet};

use super::Style;
use crate::error::{Error, Place};
use crate::text::unseen::{block, in_columns, line};

/// The text of `error` and of those that came with it.
pub fn render(error: &Error, style: Style) -> String {
    let parts = error.parts();
    let mut text = match &parts.place {
        Some(place) => excerpt(&parts.message, place, style),
        None => format!("{} {}\n", style.bad("error:"), style.bold(&block(&parts.message))),
    };
    let mut lines = |label: &str, list: &[String]| {
        for line in list {
            text.push_str(&format!("{} {}\n", style.bold(label), block(line)));
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

fn excerpt(message: &str, place: &Place, style: Style) -> String {
    let (text, file, message) = (in_columns(&place.text), line(&place.file), block(message));
    let start = byte_of(&text, place.column - 1);
    let end = byte_of(&text, place.column - 1 + place.width);
    let snippet = Snippet::source(text.as_ref())
        .line_start(place.line)
        .path(file.as_ref())
        .annotation(AnnotationKind::Primary.span(start..end));
    let report = [Level::ERROR.primary_title(message.as_ref()).element(snippet)];
    let renderer = match style {
        Style::Colour => Renderer::styled(),
        Style::Plain => Renderer::plain(),
    };
    format!("{}\n", renderer.render(&report))
}

fn byte_of(text: &str, character: usize) -> usize {
    text.char_indices().nth(character).map_or(text.len(), |(at, _)| at)
}

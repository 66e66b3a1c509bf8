//! The data of `COPY … FROM stdin`: where it lies in a SQL file, and how large data stays there.
//!
//! A file is held in memory, but for the COPY data in it that is larger than [`HELD`]: of that, the
//! text has an empty block, and a [`LargeData`] says where in the file it is. It is read again when
//! it is sent, and its checksum must still be the same then.

use std::fs::File;
use std::io::{BufRead, BufReader, Read, Seek, SeekFrom};
use std::ops::Range;
use std::path::{Path, PathBuf};

use squawk_lexer::{LiteralKind, TokenKind, tokenize};

use super::checksum::{Checksum, Hasher};
use super::document::ScriptError;

/// COPY data up to this many bytes is part of its file's text.
pub const HELD: usize = 256 << 10;

/// COPY data that stays in its file.
#[derive(Clone, Debug, PartialEq)]
pub struct LargeData {
    /// Where in the text it would stand.
    pub at: usize,
    /// How many lines it has.
    pub lines: usize,
    /// Its checksum, of normalised text.
    pub checksum: Checksum,
    path: PathBuf,
    bytes: Range<u64>,
}

/// Past this depth no human wrote the file.
const DEEPEST: usize = 500;

/// Where the COPY data that begins at `start` ends: its last byte, and the byte after its `\\.` line.
fn end_of_data(text: &str, start: usize) -> Option<(usize, usize)> {
    let mut at = start;
    for line in text[start..].split_inclusive('\n') {
        if line.trim_end_matches(['\n', '\r']) == "\\." {
            return Some((at, at + line.len()));
        }
        at += line.len();
    }
    None
}

/// A `COPY … FROM stdin` with its data in the text.
pub struct Copy {
    /// The semicolon that ends the statement.
    pub semicolon: usize,
    /// The data, without the closing `\.`.
    pub data: Range<usize>,
}

/// Blanks out COPY data, which no SQL lexer can read, and refuses what no server would accept; what is
/// left keeps its place.
pub fn mask_copy_data(text: &str) -> Result<(String, Vec<Copy>), ScriptError> {
    let mut masked = String::new();
    let mut copies = Vec::new();
    let mut from = 0;
    while let Some(semicolon) = next_copy(&text[from..], from)? {
        let data_start = text[semicolon..].find('\n').map_or(text.len(), |at| semicolon + at + 1);
        let (data_end, next) = end_of_data(text, data_start).ok_or_else(|| {
            ScriptError::new(
                semicolon..semicolon + 1,
                "the data of this COPY … FROM stdin never ends",
            )
            .hint("close it with a line that holds only `\\.`")
        })?;
        masked.push_str(&text[from..data_start]);
        masked.extend(std::iter::repeat_n(' ', next - data_start));
        copies.push(Copy { semicolon, data: data_start..data_end });
        from = next;
    }
    masked.push_str(&text[from..]);
    Ok((masked, copies))
}

/// The offset of the semicolon that ends the next `COPY … FROM stdin` in `text`, which begins at byte
/// `base` of its file.
///
/// Errors: an unterminated quote, comment or dollar quote; a psql meta-command; nesting past 500
/// levels.
fn next_copy(text: &str, base: usize) -> Result<Option<usize>, ScriptError> {
    let mut at = 0;
    let mut depth = 0usize;
    let (mut first, mut saw_from, mut from_stdin) = (None::<bool>, false, false);
    for token in tokenize(text) {
        let span = at..at + token.len as usize;
        at = span.end;
        check(token.kind, &text[span.clone()], base + span.start)?;
        match token.kind {
            TokenKind::OpenParen | TokenKind::OpenBracket => depth += 1,
            TokenKind::CloseParen | TokenKind::CloseBracket => depth = depth.saturating_sub(1),
            TokenKind::Semi if first == Some(true) && from_stdin => {
                return Ok(Some(base + span.start));
            }
            TokenKind::Semi => (first, saw_from, from_stdin) = (None, false, false),
            TokenKind::Ident => {
                let word = &text[span.clone()];
                match first {
                    None => first = Some(word.eq_ignore_ascii_case("copy")),
                    Some(true) if saw_from && word.eq_ignore_ascii_case("stdin") => {
                        from_stdin = true
                    }
                    Some(_) => {}
                }
                saw_from = word.eq_ignore_ascii_case("from");
            }
            TokenKind::Eof => break,
            _ => {}
        }
        if depth > DEEPEST {
            return Err(ScriptError::new(
                base + span.start..base + span.end,
                format!("nested more than {DEEPEST} levels deep"),
            ));
        }
    }
    Ok(None)
}

fn check(kind: TokenKind, text: &str, at: usize) -> Result<(), ScriptError> {
    let open =
        |what: &str| Err(ScriptError::new(at..at + 1, format!("this {what} is never closed")));
    match kind {
        TokenKind::BlockComment { terminated: false } => open("comment"),
        TokenKind::QuotedIdent { terminated: false, .. } => open("quoted name"),
        TokenKind::Literal { kind } => match kind {
            LiteralKind::Str { terminated: false }
            | LiteralKind::ByteStr { terminated: false }
            | LiteralKind::BitStr { terminated: false }
            | LiteralKind::UnicodeEscStr { terminated: false }
            | LiteralKind::EscStr { terminated: false } => open("quote"),
            LiteralKind::DollarQuotedString { terminated: false } => open("dollar quote"),
            _ => Ok(()),
        },
        TokenKind::Unknown if text.starts_with('\\') => Err(ScriptError::new(
            at..at + text.len(),
            "this is a psql meta-command, which only psql understands",
        )
        .hint("delete the line; for data use COPY … FROM stdin, closed with `\\.`")),
        _ => Ok(()),
    }
}

/// A file's text without the COPY data that is too large to hold.
pub struct InPart {
    /// The text without it.
    pub text: String,
    /// Of the whole file.
    pub checksum: Checksum,
    /// What was left out of it.
    pub large: Vec<LargeData>,
}

/// How often a text is searched for the end of one COPY before it is held whole after all.
const ATTEMPTS: usize = 64;

/// Reads a SQL file line by line. `None` where the file has to be read whole: what is wrong with it
/// is told there.
pub fn read_in_part(path: &Path) -> std::io::Result<Option<InPart>> {
    let mut file = BufReader::with_capacity(1 << 16, File::open(path)?);
    let (mut whole, mut text, mut large) = (Hasher::default(), String::new(), Vec::new());
    let (mut line, mut offset) = (Vec::new(), 0u64);
    let mut block = None::<Block>;
    // The statements since the last data, and whether a COPY may be among them.
    let (mut from, mut watched, mut attempts) = (0, false, 0);
    loop {
        line.clear();
        let begin = offset;
        offset += file.read_until(b'\n', &mut line)? as u64;
        if offset == begin {
            break;
        }
        if begin == 0 && line.starts_with("\u{feff}".as_bytes()) {
            line.drain(..3);
        }
        if line.ends_with(b"\r\n") {
            line.remove(line.len() - 2);
        }
        whole.update(&line);
        let Some(piece) = std::str::from_utf8(&line).ok().filter(|piece| !piece.contains('\0'))
        else {
            return Ok(None);
        };
        match &mut block {
            Some(data) if piece.trim_end_matches(['\n', '\r']) == "\\." => {
                large.extend(data.end(path));
                text.push_str(piece);
                (block, from, watched, attempts) = (None, text.len(), false, 0);
            }
            Some(data) => data.take(piece, offset, &mut text),
            None => {
                text.push_str(piece);
                watched = watched || names_stdin(&line);
                if watched && piece.contains(';') {
                    attempts += 1;
                    if let Ok(Some(_)) = next_copy(&text[from..], from) {
                        block = Some(Block::at(text.len(), offset));
                    } else if attempts > ATTEMPTS {
                        return Ok(None);
                    }
                }
            }
        }
    }
    Ok(block.is_none().then(|| InPart { text, checksum: whole.finish(), large }))
}

fn names_stdin(line: &[u8]) -> bool {
    line.windows(5).any(|word| word.eq_ignore_ascii_case(b"stdin"))
}

/// COPY data while it is read.
struct Block {
    at: usize,
    bytes: Range<u64>,
    lines: usize,
    is_held: bool,
    hasher: Hasher,
}

impl Block {
    fn at(at: usize, offset: u64) -> Block {
        let bytes = offset..offset;
        Block { at, bytes, lines: 0, is_held: true, hasher: Hasher::default() }
    }

    fn take(&mut self, line: &str, end: u64, text: &mut String) {
        self.bytes.end = end;
        self.lines += 1;
        self.hasher.update(line.as_bytes());
        if self.is_held {
            text.push_str(line);
            self.is_held = text.len() - self.at <= HELD;
            if !self.is_held {
                text.truncate(self.at);
            }
        }
    }

    fn end(&self, path: &Path) -> Option<LargeData> {
        (!self.is_held).then(|| LargeData {
            at: self.at,
            lines: self.lines,
            checksum: self.hasher.clone().finish(),
            path: path.to_path_buf(),
            bytes: self.bytes.clone(),
        })
    }
}

impl LargeData {
    /// Reads the data again, piece by piece, normalised as it was when it was first read.
    ///
    /// Errors: the file cannot be read, or, after the last piece, it is not what it was.
    pub fn pieces(&self) -> std::io::Result<Pieces> {
        let mut file = File::open(&self.path)?;
        file.seek(SeekFrom::Start(self.bytes.start))?;
        Ok(Pieces {
            file: file.take(self.bytes.end - self.bytes.start),
            after_return: false,
            hasher: Some(Hasher::default()),
            expected: self.checksum.clone(),
        })
    }
}

/// The pieces of [`LargeData`].
pub struct Pieces {
    file: std::io::Take<File>,
    /// Whether a carriage return is held back that may be half of a line's end.
    after_return: bool,
    hasher: Option<Hasher>,
    expected: Checksum,
}

impl Pieces {
    fn normalize(&mut self, bytes: &[u8]) -> Vec<u8> {
        let mut piece = Vec::with_capacity(bytes.len() + 1);
        for byte in bytes {
            if std::mem::replace(&mut self.after_return, *byte == b'\r') && *byte != b'\n' {
                piece.push(b'\r');
            }
            if *byte != b'\r' {
                piece.push(*byte);
            }
        }
        piece
    }

    fn next_piece(&mut self) -> std::io::Result<Option<Vec<u8>>> {
        let Some(mut hasher) = self.hasher.take() else { return Ok(None) };
        let mut buffer = vec![0; 1 << 16];
        let read = self.file.read(&mut buffer)?;
        let piece = match read {
            0 if std::mem::take(&mut self.after_return) => vec![b'\r'],
            0 => Vec::new(),
            read => self.normalize(&buffer[..read]),
        };
        hasher.update(&piece);
        if read > 0 {
            self.hasher = Some(hasher);
        } else if hasher.finish() != self.expected {
            return Err(std::io::Error::other("the file was changed since it was read"));
        }
        Ok(Some(piece))
    }
}

impl Iterator for Pieces {
    type Item = std::io::Result<Vec<u8>>;

    fn next(&mut self) -> Option<Self::Item> {
        self.next_piece().transpose()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::text::normalized;

    fn in_part(bytes: &[u8]) -> (tempfile::NamedTempFile, Option<InPart>) {
        let file = tempfile::NamedTempFile::new().expect("file");
        std::fs::write(file.path(), bytes).expect("written");
        let read = read_in_part(file.path()).expect("read");
        (file, read)
    }

    #[test]
    fn large_data_stays_in_its_file() {
        let rows = "1\tä'; COPY x FROM stdin;\r\n".repeat(20_000);
        let sql = format!(
            "\u{feff}CREATE TABLE t (a int, b text);\r\nCOPY t FROM\r\n stdin; -- stdin;\r\n{rows}\\.\r\n\
             COPY t FROM stdin;\n2\tb\n\\.\nSELECT 1;"
        );
        let (_file, read) = in_part(sql.as_bytes());
        let read = read.expect("in part");
        let plain = normalized(&sql);
        assert_eq!(read.checksum, Checksum::of(&plain));
        assert_eq!(read.large.len(), 1);
        let large = &read.large[0];
        assert_eq!(large.lines, 20_000);
        let data: Vec<u8> =
            large.pieces().expect("pieces").flat_map(|p| p.expect("piece")).collect();
        assert_eq!(String::from_utf8(data).expect("text"), normalized(&rows));
        let (head, tail) = read.text.split_at(large.at);
        assert_eq!(format!("{head}{}{tail}", normalized(&rows)), plain);
        assert!(tail.starts_with("\\.\nCOPY t FROM stdin;\n2\tb\n\\.\nSELECT 1;"));
    }

    #[test]
    fn a_file_that_changes_is_noticed() {
        let sql = format!("COPY t FROM stdin;\n{}\\.\n", "1\n".repeat(200_000));
        let (file, read) = in_part(sql.as_bytes());
        std::fs::write(file.path(), sql.replace('1', "2")).expect("written");
        let last = read.expect("in part").large[0].pieces().expect("pieces").last();
        assert!(last.expect("a last piece").is_err());
    }

    #[test]
    fn what_is_wrong_is_told_by_reading_it_whole() {
        for sql in ["COPY t FROM stdin;\n1\n", "SELECT 1;\0", "-- stdin ;\n".repeat(100).as_str()] {
            assert!(in_part(sql.as_bytes()).1.is_none());
        }
        assert!(in_part(b"SELECT '\xff';").1.is_none());
    }

    proptest::proptest! {
        #[test]
        fn pieces_are_normalized_wherever_they_are_cut(lines in proptest::collection::vec("[a\r]{0,3}\r?", 0..50)) {
            let text = lines.join("\n");
            let (mut whole, mut pieces) = (Vec::new(), Pieces {
                file: tempfile::tempfile().expect("file").take(0),
                after_return: false,
                hasher: None,
                expected: Checksum::of(""),
            });
            for byte in text.as_bytes().chunks(3) {
                whole.extend(pieces.normalize(byte));
            }
            if pieces.after_return {
                whole.push(b'\r');
            }
            proptest::prop_assert_eq!(String::from_utf8(whole).expect("text"), text.replace("\r\n", "\n"));
        }
    }
}

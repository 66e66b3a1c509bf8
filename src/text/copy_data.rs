//! Large data of `COPY … FROM stdin` stays in its file.
//!
//! A file is held in memory, but for the COPY data in it that is larger than [`HELD`]: of that, the
//! text has an empty block, and a [`LargeData`] says where in the file it is. It is read again when
//! it is sent, and its checksum must still be the same then.

use std::fs::File;
use std::io::{BufRead, BufReader, Read, Seek, SeekFrom};
use std::ops::Range;
use std::path::{Path, PathBuf};

use super::checksum::{Checksum, Hasher};
use super::psql::Scanner;
use crate::file;

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

/// Reads a SQL file, which is at `path`, line by line. `None` where the file has to be read whole: what is wrong with it
/// is told there.
pub fn read_in_part(file: &File, path: &Path) -> std::io::Result<Option<InPart>> {
    let mut file = BufReader::with_capacity(1 << 16, file);
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
                    if let Ok(Some(_)) = Scanner::of(&text[from..]).next_copy() {
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
        let mut file = file::open(&self.path)?;
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
        let read = read_in_part(file.as_file(), file.path()).expect("read");
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

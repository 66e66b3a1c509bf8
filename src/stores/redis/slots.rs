//! Slots of a cluster: in which one a key is, and names beside it in the same one.

use std::sync::LazyLock;

use super::connection::Node;

/// How many slots a cluster has.
pub const SLOTS: u16 = 16_384;

/// What all names begin with, after the prefix of the keys, that are the tool's own while it moves keys.
pub const OWN: &str = "aiplat-migrate:";

/// The slot of a key.
pub fn slot(key: &[u8]) -> u16 {
    crc16(tag(key).unwrap_or(key)) % SLOTS
}

/// The part of a key that alone says in which slot it is.
fn tag(key: &[u8]) -> Option<&[u8]> {
    let (_, rest) = split_at_byte(key, b'{')?;
    let (tag, _) = split_at_byte(rest, b'}')?;
    (!tag.is_empty()).then_some(tag)
}

fn split_at_byte(text: &[u8], byte: u8) -> Option<(&[u8], &[u8])> {
    let at = text.iter().position(|one| *one == byte)?;
    Some((&text[..at], &text[at + 1..]))
}

/// CRC-16/XMODEM, as the cluster's specification has it.
fn crc16(bytes: &[u8]) -> u16 {
    bytes.iter().fold(0, |crc, byte| {
        (0..8).fold(crc ^ (u16::from(*byte) << 8), |crc: u16, _| match crc & 0x8000 {
            0 => crc << 1,
            _ => (crc << 1) ^ 0x1021,
        })
    })
}

/// For each slot a number that is in it.
static TAGS: LazyLock<Vec<u32>> = LazyLock::new(|| {
    let mut tags = vec![None; usize::from(SLOTS)];
    let mut missing = tags.len();
    for number in 0_u32.. {
        let known = &mut tags[usize::from(slot(number.to_string().as_bytes()))];
        missing -= usize::from(known.is_none());
        known.get_or_insert(number);
        if missing == 0 {
            break;
        }
    }
    tags.into_iter().map(Option::unwrap_or_default).collect()
});

/// A name for what is kept beside `key` while it is moved: in the same slot, and beginning with `prefix` as
/// the key does, so that whoever may write the one may write the other.
pub fn beside(key: &[u8], prefix: &[u8], what: &str) -> Vec<u8> {
    let own = format!("{OWN}{what}:");
    if tag(key).is_some() {
        return [key, b":", own.as_bytes()].concat();
    }
    if !key.contains(&b'{') {
        let tag = TAGS[usize::from(slot(key))];
        return [prefix, format!("{own}{{{tag}}}:").as_bytes(), key].concat();
    }
    // A brace that makes no tag keeps a later one from being one.
    let named = (0_u32..).map(|n| [key, format!(":{own}{n}").as_bytes()].concat());
    let mut same = named.filter(|name| slot(name) == slot(key));
    same.next().unwrap_or_default()
}

/// The one of `masters` that serves a slot.
pub fn master_of(masters: &[Node], slot: u16) -> Option<&Node> {
    masters.iter().find(|node| serves(&node.slots, slot))
}

fn serves(slots: &str, slot: u16) -> bool {
    slots.split(',').filter_map(|range| range.split_once('-')).any(|(from, to)| {
        let bounds = (from.parse::<u16>(), to.parse::<u16>());
        matches!(bounds, (Ok(from), Ok(to)) if (from..=to).contains(&slot))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slots_are_those_of_the_server() {
        // As CLUSTER KEYSLOT answers.
        for (key, wanted) in [
            ("", 0),
            ("foo", 12182),
            ("{foo}x", 12182),
            ("a{foo}{bar}", 12182),
            ("123456789", 12739),
            ("old:1", 8514),
        ] {
            assert_eq!(slot(key.as_bytes()), wanted, "{key}");
        }
        assert_ne!(slot(b"{}foo"), slot(b"foo"));
        assert_eq!(tag(b"{}{foo}"), None);
    }

    #[test]
    fn what_stands_beside_a_key_is_in_its_slot() {
        for key in ["new:1", "new:{7}", "new:{}x", "new:{open", "new:}x{", "new:\u{e9}"] {
            let named = beside(key.as_bytes(), b"new:", "copy");
            assert_eq!(slot(&named), slot(key.as_bytes()), "{key}");
            assert!(named.starts_with(b"new:") && named != key.as_bytes(), "{key}");
            assert_ne!(named, beside(key.as_bytes(), b"new:", "image"), "{key}");
        }
    }

    #[test]
    fn a_master_serves_ranges() {
        assert!(serves("0-5,9-9", 9) && serves("0-5,9-9", 5));
        assert!(!serves("0-5,9-9", 6) && !serves("", 0));
    }
}

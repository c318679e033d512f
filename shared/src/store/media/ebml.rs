//! The elements of EBML, the format beneath Matroska and WebM.

/// The elements in an element, as far as they are whole; the last may be cut off.
pub(super) fn elements(mut rest: &[u8]) -> impl Iterator<Item = (u64, &[u8])> {
    std::iter::from_fn(move || {
        let id_length = rest.first()?.leading_zeros() as usize + 1;
        let size_length = rest.get(id_length)?.leading_zeros() as usize + 1;
        if id_length > 4 || size_length > 8 {
            return None;
        }
        let id = number(rest, 0, id_length)?;
        let size = number(rest, id_length, size_length)? & ((1 << (7 * size_length)) - 1);
        let content = rest.get(id_length + size_length..)?;
        let content = &content[..usize::try_from(size).unwrap_or(usize::MAX).min(content.len())];
        rest = &rest[id_length + size_length + content.len()..];
        Some((id, content))
    })
}

/// The content of the first element with this id.
pub(super) fn element(content: &[u8], id: u64) -> Option<&[u8]> {
    elements(content).find(|(found, _)| *found == id).map(|(_, content)| content)
}

/// A big-endian number.
pub(super) fn number(bytes: &[u8], at: usize, length: usize) -> Option<u64> {
    let bytes = bytes.get(at..at.checked_add(length)?)?;
    Some(bytes.iter().fold(0, |number, byte| number << 8 | u64::from(*byte)))
}

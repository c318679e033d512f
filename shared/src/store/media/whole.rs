//! Checks that a file is complete, by its structure, and extracts its metadata part. Reads the stream
//! once, with bounded memory.

use super::format::Format;

/// Maximum size of a kept MP4 index: hours of video.
const INDEX_MAX: usize = 4 << 20;
/// Kept bytes at the start of a Matroska file, which describe its tracks.
const SEGMENT_START: usize = 64 << 10;

/// The result of parsing the start of a unit.
enum Step {
    /// Nothing yet.
    More,
    /// So many bytes follow before the next unit.
    Skip(u64),
    /// The rest has no length of its own: whatever follows belongs to it.
    Rest,
    Broken,
}

/// The result of the structure check.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Judgement {
    Whole,
    /// Well-formed to its last byte, and that which makes it playable was not seen: the index of an
    /// MP4 file, the end of a PNG. Whole for all we can tell, if its length was announced.
    WithoutCore,
    /// It ends in the middle.
    CutOff,
    /// The structure is invalid.
    Broken,
}

/// The state of the check of a stream.
#[derive(Debug)]
pub(super) struct Whole {
    format: Format,
    /// The start of the current unit.
    head: Vec<u8>,
    /// Bytes to come before the next unit.
    skip: u64,
    is_first: bool,
    /// The unit without which the file is nothing was there.
    has_core: bool,
    /// Video or image data was found.
    has_data: bool,
    /// It has a description that belongs to no film: HEIF and AVIF stills have one instead of an
    /// index, whatever their brand.
    is_of_items: bool,
    /// Nothing that follows the present unit is looked at.
    is_last: bool,
    /// In the compressed data of a JPEG scan.
    in_scan: bool,
    is_broken: bool,
    /// The metadata unit, without its header, or its start.
    kept: Vec<u8>,
    /// Bytes of the present unit that are still to be kept.
    keep: usize,
}

impl Whole {
    pub(super) fn new(format: Format) -> Self {
        Self {
            format,
            head: Vec::new(),
            skip: 0,
            is_first: true,
            has_core: false,
            has_data: false,
            is_of_items: false,
            is_last: false,
            in_scan: false,
            is_broken: false,
            kept: Vec::new(),
            keep: 0,
        }
    }

    /// Processes the next bytes.
    pub(super) fn feed(&mut self, mut bytes: &[u8]) {
        while let [next, rest @ ..] = bytes {
            if self.is_broken {
                return;
            }
            if self.skip > 0 {
                let skipped = usize::try_from(self.skip).unwrap_or(usize::MAX).min(bytes.len());
                self.skip -= skipped as u64;
                let kept = self.keep.min(skipped);
                self.kept.extend_from_slice(&bytes[..kept]);
                self.keep -= kept;
                bytes = &bytes[skipped..];
                continue;
            }
            if self.is_last {
                return;
            }
            self.head.push(*next);
            bytes = rest;
            match self.step() {
                Step::More => {}
                Step::Skip(skip) => {
                    self.head.clear();
                    self.skip = skip;
                    self.is_first = false;
                }
                Step::Rest => {
                    self.head.clear();
                    (self.skip, self.is_last) = (u64::MAX, true);
                }
                Step::Broken => self.is_broken = true,
            }
        }
    }

    /// The result if the stream ends here.
    pub(super) fn judge(&self) -> Judgement {
        let is_open_ended = self.is_last && self.skip > u64::MAX / 2;
        let is_matroska = matches!(self.format, Format::WebM | Format::Matroska);
        if self.is_broken || (is_matroska && self.has_core && !begins_like_a_segment(&self.kept)) {
            Judgement::Broken
        } else if !self.head.is_empty() || (self.skip > 0 && !is_open_ended) {
            Judgement::CutOff
        } else if self.has_core {
            Judgement::Whole
        } else if self.has_data && self.is_of_items {
            Judgement::Broken
        } else if self.has_data {
            Judgement::WithoutCore
        } else if self.is_last {
            Judgement::Broken
        } else {
            Judgement::CutOff
        }
    }

    pub(super) fn format(&self) -> Format {
        self.format
    }

    /// The metadata; empty if unknown.
    pub(super) fn described(&self) -> &[u8] {
        &self.kept
    }

    fn step(&mut self) -> Step {
        match self.format {
            Format::Mp4 | Format::QuickTime => self.box_header(),
            Format::Png => self.png_chunk(),
            Format::Jpeg => self.jpeg_marker(),
            Format::WebP => self.riff_header(),
            Format::WebM | Format::Matroska => self.ebml_element(),
        }
    }

    /// Keeps so many bytes of what follows, if nothing has been kept.
    fn keep(&mut self, bytes: usize) {
        if self.kept.is_empty() {
            self.keep = bytes;
        }
    }

    fn box_header(&mut self) -> Step {
        let [a, b, c, d, kind @ ..] = self.head.as_slice() else { return Step::More };
        let Some((kind, large)) = kind.split_first_chunk::<4>() else { return Step::More };
        let kind = *kind;
        let (size, header) = match u32::from_be_bytes([*a, *b, *c, *d]) {
            1 => match large.first_chunk::<8>() {
                Some(large) => (u64::from_be_bytes(*large), 16),
                None => return Step::More,
            },
            size => (u64::from(size), 8),
        };
        // Types are words in Latin letters, some of which begin with a copyright sign.
        if !kind.iter().all(|byte| matches!(byte, 0x20..=0x7e | 0xa9)) {
            return Step::Broken;
        }
        let content = size.checked_sub(header);
        self.has_core |= matches!(&kind, b"moov" | b"moof");
        self.has_data |= &kind == b"mdat" && content != Some(0);
        self.is_of_items |= &kind == b"meta";
        let index = content.and_then(|content| usize::try_from(content).ok()).filter(|it| *it <= INDEX_MAX);
        if let Some(index) = index.filter(|_| &kind == b"moov") {
            self.keep(index);
        }
        match content {
            Some(content) => Step::Skip(content),
            None if size == 0 => Step::Rest,
            None => Step::Broken,
        }
    }

    fn png_chunk(&mut self) -> Step {
        let Some((length, kind)) = self.head.split_first_chunk::<4>() else { return Step::More };
        if kind.len() < 4 {
            return Step::More;
        }
        if self.is_first {
            return Step::Skip(0); // the signature
        }
        let (length, is_header) = (u32::from_be_bytes(*length), kind == b"IHDR");
        self.has_core |= kind == b"IEND";
        self.has_data |= is_header;
        self.is_last = self.has_core;
        if is_header {
            self.keep(8);
        }
        let checksum = 4;
        Step::Skip(u64::from(length) + checksum)
    }

    fn jpeg_marker(&mut self) -> Step {
        match (self.head.as_slice(), self.in_scan) {
            ([0xff], _) => Step::More,
            ([_], true) | ([0xff, 0x00], true) => Step::Skip(0),
            ([0xff, 0xff], _) => {
                self.head.pop();
                Step::More
            }
            ([0xff, 0xd9], _) => {
                // Without a scan it has no picture.
                (self.has_core, self.is_last) = (self.in_scan, true);
                Step::Skip(0)
            }
            ([0xff, 0x01 | 0xd0..=0xd8], _) => Step::Skip(0),
            ([0xff, _] | [0xff, _, _], _) => Step::More,
            (&[0xff, marker, a, b], _) => {
                self.in_scan |= marker == 0xda;
                // A frame header; three of the numbers between are of other things.
                if matches!(marker, 0xc0..=0xcf) && !matches!(marker, 0xc4 | 0xc8 | 0xcc) {
                    self.keep(5);
                }
                u16::from_be_bytes([a, b]).checked_sub(2).map_or(Step::Broken, |n| Step::Skip(n.into()))
            }
            _ => Step::Broken,
        }
    }

    fn riff_header(&mut self) -> Step {
        let Some((_, &[a, b, c, d])) = self.head.split_first_chunk::<4>() else { return Step::More };
        (self.has_core, self.is_last) = (true, true);
        self.keep(30);
        Step::Skip(u32::from_le_bytes([a, b, c, d]).into())
    }

    fn ebml_element(&mut self) -> Step {
        const SEGMENT: &[u8] = &[0x18, 0x53, 0x80, 0x67];
        let length_of = |first: Option<&u8>| first.map(|first| first.leading_zeros() as usize + 1);
        let Some(id) = length_of(self.head.first()) else { return Step::More };
        let Some(size) = length_of(self.head.get(id)) else { return Step::More };
        if id > 4 || size > 8 {
            return Step::Broken;
        }
        if self.head.len() < id + size {
            return Step::More;
        }
        let value = self.head[id..].iter().fold(0, |value, byte| value << 8 | u64::from(*byte));
        let unknown = (1 << (7 * size)) - 1;
        if &self.head[..id] == SEGMENT {
            self.has_core = true;
            self.keep(SEGMENT_START);
        }
        match value & unknown {
            value if value == unknown => Step::Rest,
            value => Step::Skip(value),
        }
    }
}

/// Whether a Matroska segment begins with an element that belongs there.
fn begins_like_a_segment(start: &[u8]) -> bool {
    matches!(
        start,
        [0x11, 0x4d, 0x9b, 0x74, ..] // what is where
            | [0x15, 0x49, 0xa9, 0x66, ..] // about it
            | [0x16, 0x54, 0xae, 0x6b, ..] // its tracks
            | [0x1c, 0x53, 0xbb, 0x6b, ..] // its index
            | [0x1f, 0x43, 0xb6, 0x75, ..] // film
            | [0x12, 0x54, 0xc3, 0x67, ..] // tags
            | [0x10, 0x43, 0xa7, 0x70, ..] // chapters
            | [0x19, 0x41, 0xa4, 0x69, ..] // attachments
            | [0xec | 0xbf, ..] // nothing, or a sum
    )
}

#[cfg(test)]
mod tests;

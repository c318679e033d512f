//! Whether a file is all there, by its own structure: for one whose length nobody announced.
//! Reads it once, as it comes, and keeps a few bytes of it.

/// How a format divides a file into units, each with a length of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Format {
    /// MP4, MOV, HEIF, AVIF: boxes.
    Boxes,
    /// Chunks up to `IEND`.
    Png,
    /// Segments and scans up to the end-of-image marker.
    Jpeg,
    /// WebP: one chunk that holds the others.
    Riff,
    /// WebM, Matroska: elements.
    Ebml,
}

/// What the beginning of a unit says.
enum Step {
    /// Nothing yet.
    More,
    /// So many bytes follow before the next unit.
    Skip(u64),
    /// The rest has no length of its own: whatever follows belongs to it.
    Rest,
    Broken,
}

/// A file on its way.
#[derive(Debug)]
pub(super) struct Whole {
    format: Format,
    /// The beginning of the present unit.
    head: Vec<u8>,
    /// Bytes to come before the next unit.
    skip: u64,
    is_first: bool,
    /// The unit without which the file is nothing was there.
    has_core: bool,
    /// Nothing that follows the present unit is looked at.
    is_last: bool,
    /// In the compressed data of a JPEG scan.
    in_scan: bool,
    verdict: Option<bool>,
}

impl Whole {
    /// That of a file which begins so; `None` for formats that do not say how long they are.
    pub(super) fn of(start: &[u8]) -> Option<Self> {
        let format = match start {
            [_, _, _, _, b'f', b't', b'y', b'p', ..] => Format::Boxes,
            [0x89, b'P', b'N', b'G', ..] => Format::Png,
            [0xff, 0xd8, 0xff, ..] => Format::Jpeg,
            [b'R', b'I', b'F', b'F', _, _, _, _, b'W', b'E', b'B', b'P', ..] => Format::Riff,
            [0x1a, 0x45, 0xdf, 0xa3, ..] => Format::Ebml,
            _ => return None,
        };
        Some(Self {
            format,
            head: Vec::new(),
            skip: 0,
            is_first: true,
            has_core: false,
            is_last: false,
            in_scan: false,
            verdict: None,
        })
    }

    /// Takes in the next bytes.
    pub(super) fn feed(&mut self, mut bytes: &[u8]) {
        while let [next, rest @ ..] = bytes {
            if self.verdict.is_some() {
                return;
            }
            if self.skip > 0 {
                let skipped = usize::try_from(self.skip).unwrap_or(usize::MAX).min(bytes.len());
                self.skip -= skipped as u64;
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
                Step::Rest => self.verdict = Some(self.has_core),
                Step::Broken => self.verdict = Some(false),
            }
        }
    }

    /// Whether what has come is a whole file.
    pub(super) fn is_whole(&self) -> bool {
        self.verdict.unwrap_or(self.has_core && self.head.is_empty() && self.skip == 0)
    }

    fn step(&mut self) -> Step {
        match self.format {
            Format::Boxes => self.box_header(),
            Format::Png => self.png_chunk(),
            Format::Jpeg => self.jpeg_marker(),
            Format::Riff => self.riff_header(),
            Format::Ebml => self.ebml_element(),
        }
    }

    fn box_header(&mut self) -> Step {
        let [a, b, c, d, kind @ ..] = self.head.as_slice() else { return Step::More };
        let Some((kind, large)) = kind.split_first_chunk::<4>() else { return Step::More };
        let (size, header) = match u32::from_be_bytes([*a, *b, *c, *d]) {
            1 => match large.first_chunk::<8>() {
                Some(large) => (u64::from_be_bytes(*large), 16),
                None => return Step::More,
            },
            size => (u64::from(size), 8),
        };
        self.has_core |= matches!(kind, b"moov" | b"moof" | b"meta");
        match size.checked_sub(header) {
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
        self.has_core |= kind == b"IEND";
        self.is_last = self.has_core;
        let checksum = 4;
        Step::Skip(u64::from(u32::from_be_bytes(*length)) + checksum)
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
                (self.has_core, self.is_last) = (true, true);
                Step::Skip(0)
            }
            ([0xff, 0x01 | 0xd0..=0xd8], _) => Step::Skip(0),
            ([0xff, _] | [0xff, _, _], _) => Step::More,
            ([0xff, marker, a, b], _) => {
                self.in_scan = *marker == 0xda;
                u16::from_be_bytes([*a, *b]).checked_sub(2).map_or(Step::Broken, |n| Step::Skip(n.into()))
            }
            _ => Step::Broken,
        }
    }

    fn riff_header(&mut self) -> Step {
        let Some((_, [a, b, c, d])) = self.head.split_first_chunk::<4>() else { return Step::More };
        (self.has_core, self.is_last) = (true, true);
        Step::Skip(u32::from_le_bytes([*a, *b, *c, *d]).into())
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
        self.has_core |= &self.head[..id] == SEGMENT;
        match value & unknown {
            value if value == unknown => Step::Rest,
            value => Step::Skip(value),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn is_whole(file: &[u8], at_once: usize) -> bool {
        let mut whole = Whole::of(file).expect("the format is known");
        file.chunks(at_once).for_each(|chunk| whole.feed(chunk));
        whole.is_whole()
    }

    fn mp4_box(kind: &[u8; 4], content: usize) -> Vec<u8> {
        let size = u32::try_from(content + 8).unwrap();
        [&size.to_be_bytes(), &kind[..], &vec![7; content]].concat()
    }

    fn large_box(kind: &[u8; 4], content: usize) -> Vec<u8> {
        let size = (content as u64 + 16).to_be_bytes();
        [&1_u32.to_be_bytes(), &kind[..], &size, &vec![7; content]].concat()
    }

    fn png_chunk(kind: &[u8; 4], content: usize) -> Vec<u8> {
        [&u32::try_from(content).unwrap().to_be_bytes(), &kind[..], &vec![7; content + 4]].concat()
    }

    fn png() -> Vec<u8> {
        let chunks = [png_chunk(b"IHDR", 13), png_chunk(b"IDAT", 300), png_chunk(b"IEND", 0)];
        [&b"\x89PNG\r\n\x1a\n"[..], &chunks.concat()].concat()
    }

    /// With a thumbnail that has an end of its own, two scans, and a restart marker.
    fn jpeg() -> Vec<u8> {
        let thumbnail = b"\xff\xe1\x00\x08\xff\xd8\xff\xd9xx";
        let scan = b"\xff\xda\x00\x04abpixels\xff\x00pixels\xff\xd0pixels";
        [&b"\xff\xd8"[..], thumbnail, scan, b"\xff\xff\xc4\x00\x03x", scan, b"\xff\xd9"].concat()
    }

    fn webm(segment_size: &[u8]) -> Vec<u8> {
        [&b"\x1a\x45\xdf\xa3\x84abcd\x18\x53\x80\x67"[..], segment_size, &[7; 300]].concat()
    }

    fn files() -> Vec<Vec<u8>> {
        let webp = [&b"RIFF"[..], &104_u32.to_le_bytes(), b"WEBP", &[7; 100]].concat();
        vec![
            [mp4_box(b"ftyp", 16), mp4_box(b"mdat", 300), mp4_box(b"moov", 90)].concat(),
            [mp4_box(b"ftyp", 16), large_box(b"mdat", 300), mp4_box(b"moof", 90)].concat(),
            png(),
            jpeg(),
            webp,
            webm(b"\x41\x2c"),
        ]
    }

    #[test]
    fn a_whole_file_is_whole_in_pieces_of_any_size() {
        for file in files() {
            for at_once in [1, 2, 7, 100, file.len()] {
                assert!(is_whole(&file, at_once), "{:?} by {at_once}", &file[..12]);
            }
        }
    }

    #[test]
    fn no_beginning_of_a_file_is_a_whole_one() {
        for file in files() {
            for end in 16..file.len() {
                assert!(!is_whole(&file[..end], 64), "{:?} to {end}", &file[..12]);
            }
        }
    }

    #[test]
    fn what_follows_the_end_of_a_still_does_no_harm() {
        for file in [png(), jpeg()] {
            assert!(is_whole(&[&file[..], b"\0\0 and a note"].concat(), 64));
        }
    }

    #[test]
    fn a_last_unit_without_a_length_is_taken_as_it_is() {
        let last = b"\0\0\0\0mdat and so on";
        let index = mp4_box(b"moov", 90);
        assert!(is_whole(&[&mp4_box(b"ftyp", 16), &index[..], last].concat(), 64));
        assert!(!is_whole(&[&mp4_box(b"ftyp", 16), &last[..], &index].concat(), 64), "without an index");
        assert!(is_whole(&webm(b"\x01\xff\xff\xff\xff\xff\xff\xff"), 64));
    }

    #[test]
    fn nonsense_is_not_whole_and_unknown_formats_are_not_judged() {
        assert!(!is_whole(&[&mp4_box(b"ftyp", 16)[..], b"\0\0\0\x07moov"].concat(), 64));
        assert!(!is_whole(b"\xff\xd8\xff\xe0\0\x01", 64));
        assert!(!is_whole(b"\x1a\x45\xdf\xa3\x84abcd\0", 64));
        assert!(Whole::of(b"GIF89a and pixels").is_none());
    }
}

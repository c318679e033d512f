//! Detects the format of a file by its first bytes. Names and announced types are ignored.

use super::ebml::element;
use domain::catalog::Kind;

/// A supported container of videos or format of images.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Format {
    /// The ISO base media file format.
    Mp4,
    /// Its predecessor, with the same boxes.
    QuickTime,
    WebM,
    Matroska,
    Png,
    Jpeg,
    WebP,
}

/// Major brands of the ISO base media file format that are not videos: images and image sequences,
/// sound, raw photographs, JPEG 2000.
const OTHER_BRANDS: [&[u8; 4]; 29] = [
    b"avif", b"avis", b"avio", b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"hevm", b"hevs",
    b"mif1", b"mif2", b"msf1", b"miaf", b"1pic", b"jpeg", b"jpgs", b"jp2 ", b"jpx ", b"jpm ", b"jxl ",
    b"M4A ", b"M4B ", b"M4P ", b"F4A ", b"F4B ", b"aax ", b"crx ",
];
/// Possible first boxes of a QuickTime file without `ftyp`.
const FIRST_BOXES: [&[u8; 4]; 6] = [b"moov", b"mdat", b"wide", b"free", b"skip", b"pnot"];
/// Matroska elements: the header, and in it the document type.
const HEADER: u64 = 0x1a45_dfa3;
const DOC_TYPE: u64 = 0x4282;

impl Format {
    /// `None` for an unsupported format.
    pub(super) fn of(start: &[u8]) -> Option<Self> {
        match start {
            [a, b, c, d, b'f', b't', b'y', b'p', brand @ ..] => {
                // A major brand, and its version.
                let is_whole = u32::from_be_bytes([*a, *b, *c, *d]) >= 16;
                let brand = brand.first_chunk::<4>().filter(|_| is_whole)?;
                let is_text = brand.iter().all(|byte| matches!(byte, 0x20..=0x7e));
                match brand {
                    b"qt  " => Some(Self::QuickTime),
                    brand if OTHER_BRANDS.contains(&brand) || !is_text => None,
                    _ => Some(Self::Mp4),
                }
            }
            [_, _, _, _, a, b, c, d, ..] if FIRST_BOXES.contains(&&[*a, *b, *c, *d]) => Some(Self::QuickTime),
            [0x1a, 0x45, 0xdf, 0xa3, ..] => Self::of_ebml(start),
            [0x89, b'P', b'N', b'G', b'\r', b'\n', 0x1a, b'\n', 0, 0, 0, 13, b'I', b'H', b'D', b'R', ..] => {
                Some(Self::Png)
            }
            [0xff, 0xd8, 0xff, ..] => Some(Self::Jpeg),
            [b'R', b'I', b'F', b'F', _, _, _, _, b'W', b'E', b'B', b'P', b'V', b'P', b'8', ..] => {
                Some(Self::WebP)
            }
            _ => None,
        }
    }

    /// Detects the document type, an element of the header that zeros may pad.
    fn of_ebml(start: &[u8]) -> Option<Self> {
        let doc_type = element(element(start, HEADER)?, DOC_TYPE)?;
        match doc_type.split(|byte| *byte == 0).next()? {
            b"webm" => Some(Self::WebM),
            b"matroska" => Some(Self::Matroska),
            _ => None,
        }
    }

    pub(super) fn kind(self) -> Kind {
        match self {
            Self::Mp4 | Self::QuickTime | Self::WebM | Self::Matroska => Kind::Video,
            Self::Png | Self::Jpeg | Self::WebP => Kind::Image,
        }
    }

    pub(super) fn content_type(self) -> &'static str {
        match self {
            Self::Mp4 => "video/mp4",
            Self::QuickTime => "video/quicktime",
            Self::WebM => "video/webm",
            Self::Matroska => "video/x-matroska",
            Self::Png => "image/png",
            Self::Jpeg => "image/jpeg",
            Self::WebP => "image/webp",
        }
    }

    /// Smaller files have no video or image.
    pub(super) fn bytes_min(self) -> u64 {
        match self.kind() {
            Kind::Video => 512,
            Kind::Image => 64,
        }
    }
}

/// Content disposition and file name of a file. Anything but a video or an image (earlier releases
/// accepted some) is only downloaded, never displayed.
pub(super) fn disposition(content_type: &str) -> &'static str {
    match content_type {
        "video/mp4" => "inline; filename=\"video.mp4\"",
        "video/quicktime" => "inline; filename=\"video.mov\"",
        "video/webm" => "inline; filename=\"video.webm\"",
        "video/x-matroska" => "inline; filename=\"video.mkv\"",
        "image/png" => "inline; filename=\"image.png\"",
        "image/jpeg" => "inline; filename=\"image.jpg\"",
        "image/webp" => "inline; filename=\"image.webp\"",
        "image/gif" => "inline; filename=\"image.gif\"",
        // Of an earlier release.
        other if other.starts_with("video/") => "inline; filename=\"video\"",
        _ => "attachment; filename=\"file.bin\"",
    }
}

/// The content type of a file: never one that a browser executes.
pub(super) fn served_type(content_type: &str) -> &str {
    if disposition(content_type).starts_with("inline") { content_type } else { "application/octet-stream" }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ftyp(brand: &[u8; 4]) -> Vec<u8> {
        [b"\0\0\0\x18ftyp", &brand[..], b"\0\0\x02\0isommp42"].concat()
    }

    #[test]
    fn a_brand_is_a_film_unless_it_is_known_as_something_else() {
        for brand in
            [b"isom", b"iso8", b"iso9", b"mp42", b"avc1", b"M4V ", b"dash", b"cmfc", b"xyz1", b"3gp5"]
        {
            assert_eq!(Format::of(&ftyp(brand)), Some(Format::Mp4), "{brand:?}");
        }
        assert_eq!(Format::of(&ftyp(b"qt  ")), Some(Format::QuickTime));
        for brand in
            [b"avif", b"avis", b"heic", b"heix", b"mif1", b"msf1", b"M4A ", b"M4B ", b"crx ", b"jp2 "]
        {
            assert_eq!(Format::of(&ftyp(brand)), None, "{brand:?}");
        }
        assert_eq!(Format::of(&ftyp(b"\0\0\0\0")), None);
        assert_eq!(Format::of(b"\0\0\0\x08ftypisom"), None, "a box too small for a brand");
    }

    #[test]
    fn each_format_is_known_by_its_beginning() {
        let webm = b"\x1a\x45\xdf\xa3\x93\x42\x86\x81\x01\x42\xf7\x81\x01\x42\x82\x84webm\x42\x87\x81\x04";
        let matroska = b"\x1a\x45\xdf\xa3\xa3\x42\x86\x81\x01\x42\x82\x88matroska\x42\x87\x81\x04";
        let start: [(&[u8], Format, Kind); 7] = [
            (b"\0\0\x10\0moov\0\0\0\x6cmvhd", Format::QuickTime, Kind::Video),
            (b"\0\0\0\x08wide\0\0\x10\0mdat", Format::QuickTime, Kind::Video),
            (webm, Format::WebM, Kind::Video),
            (matroska, Format::Matroska, Kind::Video),
            (b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR\0\0", Format::Png, Kind::Image),
            (b"\xff\xd8\xff\xe0\0\x10JFIF", Format::Jpeg, Kind::Image),
            (b"RIFF\x10\0\0\0WEBPVP8L", Format::WebP, Kind::Image),
        ];
        for (start, format, kind) in start {
            assert_eq!(Format::of(start), Some(format));
            assert_eq!(format.kind(), kind);
            assert!(disposition(format.content_type()).starts_with("inline"), "{format:?}");
        }
    }

    /// Lengths may be written in more bytes than they need, and fillers may come first.
    #[test]
    fn an_ebml_header_is_read_by_its_structure() {
        let filler = [&b"\xec\x40\x64"[..], &[0; 100], b"\x42\x82\x84webm"].concat();
        let filled = [&b"\x1a\x45\xdf\xa3\x40\x6e"[..], &filler].concat();
        let wide = b"\x1a\x45\xdf\xa3\x01\0\0\0\0\0\0\x0e\x42\x82\x01\0\0\0\0\0\0\x04webm";
        let padded = b"\x1a\x45\xdf\xa3\x89\x42\x82\x86webm\0\0";
        for file in [&filled[..], wide, padded] {
            assert_eq!(Format::of(file), Some(Format::WebM), "{file:?}");
        }
        let elsewhere = b"\x1a\x45\xdf\xa3\x84\x42\x86\x81\x01\x42\x82\x84webm";
        assert_eq!(Format::of(elsewhere), None, "after the header");
    }

    #[test]
    fn nothing_else_is_sold() {
        let other: [&[u8]; 16] = [
            b"",
            b"BM: the quota of this account is used up, try later",
            b"GIF89a/*<script>alert(1)</script>",
            b"\0\0\x01\0<html><script>",
            b"II*\0\x08\0\0\0",
            b"<!DOCTYPE html><html>",
            b"<svg xmlns=\"http://www.w3.org/2000/svg\"/>",
            b"{\"error\":\"try later\"}",
            b"ID3\x04\0\0\0\0",
            b"OggS\0\x02",
            b"RIFF\x10\0\0\0WAVEfmt ",
            b"RIFF\x10\0\0\0AVI LIST",
            b"%PDF-1.7",
            b"PK\x03\x04",
            b"\x89PNG\r\n\x1a\n and pixels",
            b"\x1a\x45\xdf\xa3",
        ];
        for start in other {
            assert_eq!(Format::of(start), None, "{:?}", String::from_utf8_lossy(start));
        }
    }

    #[test]
    fn names_have_the_usual_endings_and_what_is_no_media_is_saved() {
        assert!(disposition("video/quicktime").contains("video.mov"));
        assert!(disposition("video/x-matroska").contains("video.mkv"));
        assert!(disposition("image/jpeg").contains("image.jpg"));
        for content_type in ["image/svg+xml", "text/html", "image/bmp", "", "image/vnd.microsoft.icon"] {
            assert!(disposition(content_type).starts_with("attachment"), "{content_type}");
            assert_eq!(served_type(content_type), "application/octet-stream");
        }
        assert_eq!(served_type("video/mp4"), "video/mp4");
        assert!(disposition("video/mpeg").starts_with("inline"));
    }
}

use super::*;

fn judge(file: &[u8], at_once: usize) -> Judgement {
    let mut whole = Whole::new(Format::of(file).expect("the format is known"));
    file.chunks(at_once).for_each(|chunk| whole.feed(chunk));
    whole.judge()
}

fn is_whole(file: &[u8], at_once: usize) -> bool {
    judge(file, at_once) == Judgement::Whole
}

fn mp4_box(kind: &[u8; 4], content: usize) -> Vec<u8> {
    let size = u32::try_from(content + 8).unwrap();
    let fill = if kind == b"ftyp" { b'i' } else { 7 };
    [&size.to_be_bytes(), &kind[..], &vec![fill; content]].concat()
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
    let header = b"\x1a\x45\xdf\xa3\x87\x42\x82\x84webm\x18\x53\x80\x67";
    [&header[..], segment_size, b"\x15\x49\xa9\x66", &[7; 296]].concat()
}

fn files() -> Vec<Vec<u8>> {
    let webp = [&b"RIFF"[..], &104_u32.to_le_bytes(), b"WEBPVP8 ", &[7; 96]].concat();
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
        for end in 28..file.len() {
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
    let without = [&mp4_box(b"ftyp", 16), &last[..], &index].concat();
    assert_eq!(judge(&without, 64), Judgement::WithoutCore, "without an index");
    assert!(is_whole(&webm(b"\x01\xff\xff\xff\xff\xff\xff\xff"), 64));
}

#[test]
fn film_without_an_index_is_well_formed_and_no_more() {
    let start = mp4_box(b"ftyp", 16);
    let film = |boxes: &[Vec<u8>]| [start.clone(), boxes.concat()].concat();
    assert_eq!(judge(&film(&[mp4_box(b"mdat", 900)]), 64), Judgement::WithoutCore);
    assert_eq!(judge(&film(&[mp4_box(b"mdat", 900)])[..500], 64), Judgement::CutOff);
    assert_eq!(judge(&film(&[mp4_box(b"mdat", 0)]), 64), Judgement::CutOff, "there is no film in it");
    assert_eq!(judge(&film(&[mp4_box(b"free", 900)]), 64), Judgement::CutOff);
    assert_eq!(judge(&film(&[mp4_box(b"mdat", 900), vec![0; 8]]), 64), Judgement::Broken);
}

/// As HEIF and AVIF are: their brands are many, and every codec adds some.
#[test]
fn a_still_in_boxes_is_no_film_whatever_its_brand() {
    let still = [mp4_box(b"ftyp", 16), mp4_box(b"meta", 300), mp4_box(b"mdat", 900)].concat();
    assert_eq!(judge(&still, 64), Judgement::Broken);
    let film = [still, mp4_box(b"moov", 90)].concat();
    assert!(is_whole(&film, 64), "a film may have one as well");
}

#[test]
fn what_only_begins_like_a_file_is_broken() {
    let zeros = [&mp4_box(b"ftyp", 16)[..], &[0; 1_000]].concat();
    let page = [&mp4_box(b"ftyp", 16)[..], b"<html><body>try later</body></html>"].concat();
    let short = [&mp4_box(b"ftyp", 16)[..], b"\0\0\0\x07moov"].concat();
    let no_segment = [&webm(b"\x41\x2c")[..17], b"\x41\x2c", &[7; 300]].concat();
    let no_scan = [&b"\xff\xd8\xff\xe0\0\x10"[..], &[7; 14], b"\xff\xd9"].concat();
    for file in [&zeros[..], &short, &no_segment, &no_scan, b"\xff\xd8\xff\xe0\0\x01"] {
        assert_eq!(judge(file, 64), Judgement::Broken, "{:?}", &file[..6]);
    }
    assert_eq!(judge(&page, 64), Judgement::CutOff, "its next box would be of 1 GB");
}

#[test]
fn what_describes_the_file_is_kept_wherever_it_is_and_whatever_its_size() {
    for file in files() {
        for at_once in [1, 100, file.len()] {
            let mut whole = Whole::new(Format::of(&file).unwrap());
            file.chunks(at_once).for_each(|chunk| whole.feed(chunk));
            assert_eq!(whole.described().is_empty(), file.starts_with(&[0xff]) || has_no_moov(&file));
        }
    }
    let huge = [mp4_box(b"ftyp", 16), mp4_box(b"moov", INDEX_MAX + 1)].concat();
    let mut whole = Whole::new(Format::Mp4);
    whole.feed(&huge);
    assert_eq!((whole.judge(), whole.described().len()), (Judgement::Whole, 0));
}

fn has_no_moov(file: &[u8]) -> bool {
    file[4..8] == *b"ftyp" && !file.windows(4).any(|word| word == b"moov")
}

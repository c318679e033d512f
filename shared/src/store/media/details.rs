//! Metadata of a video or image. Unreadable values are absent, never an error.

use super::ebml::{element, elements, number};
use super::format::Format;
use domain::media::Details;

/// Reads what [`Whole`](super::whole::Whole) kept of a file of this format.
pub(super) fn read(format: Format, kept: &[u8]) -> Details {
    let details = match format {
        Format::Mp4 | Format::QuickTime => mp4(kept),
        Format::WebM | Format::Matroska => matroska(kept),
        Format::Png => sides(number(kept, 0, 4), number(kept, 4, 4)),
        Format::Jpeg => sides(number(kept, 3, 2), number(kept, 1, 2)),
        Format::WebP => webp(kept),
    };
    details.unwrap_or_default()
}

/// Whether an MP4 index has tracks but none of video.
pub(super) fn is_without_film(format: Format, kept: &[u8]) -> bool {
    let is_mp4 = matches!(format, Format::Mp4 | Format::QuickTime);
    let handlers: Vec<_> = boxes(kept).filter(|(kind, _)| kind == b"trak").filter_map(handler).collect();
    is_mp4 && !handlers.is_empty() && !handlers.contains(b"vide")
}

fn sides(width: Option<u64>, height: Option<u64>) -> Option<Details> {
    let side = |side: Option<u64>| side.and_then(|side| u32::try_from(side).ok()).filter(|side| *side > 0);
    Some(Details { width: Some(side(width)?), height: Some(side(height)?), ..Details::default() })
}

fn ratio(dividend: u64, factor: u64, divisor: u64) -> Option<u64> {
    let whole = u128::from(dividend) * u128::from(factor) + u128::from(divisor / 2);
    u64::try_from(whole.checked_div(divisor.into())?).ok().filter(|ratio| *ratio > 0)
}

/// The boxes in a box, as far as they are whole.
fn boxes(mut rest: &[u8]) -> impl Iterator<Item = ([u8; 4], &[u8])> {
    std::iter::from_fn(move || {
        let (size, kind) = (number(rest, 0, 4)?, *rest.get(4..)?.first_chunk()?);
        let (size, header) = if size == 1 { (number(rest, 8, 8)?, 16) } else { (size, 8) };
        let content = rest.get(header..usize::try_from(size).ok()?)?;
        rest = &rest[header + content.len()..];
        Some((kind, content))
    })
}

fn inner<'a>(content: &'a [u8], path: &[&[u8; 4]]) -> Option<&'a [u8]> {
    path.iter().try_fold(content, |content, name| {
        boxes(content).find(|(kind, _)| kind == *name).map(|(_, inner)| inner)
    })
}

fn handler((_, trak): ([u8; 4], &[u8])) -> Option<[u8; 4]> {
    inner(trak, &[b"mdia", b"hdlr"])?.get(8..)?.first_chunk().copied()
}

/// Units a second, and how many units; in a box that says when it was made.
fn time(header: &[u8]) -> Option<(u64, u64)> {
    let (scale, length) = if *header.first()? == 1 {
        (number(header, 20, 4)?, number(header, 24, 8)?)
    } else {
        (number(header, 12, 4)?, number(header, 16, 4)?)
    };
    (length > 0 && length != u64::MAX && length != u64::from(u32::MAX)).then_some((scale, length))
}

fn mp4(moov: &[u8]) -> Option<Details> {
    let mut tracks = boxes(moov).filter(|(kind, _)| kind == b"trak");
    let (_, trak) = tracks.find(|track| handler(*track) == Some(*b"vide"))?;
    let mut details = inner(trak, &[b"tkhd"]).and_then(track_sides).unwrap_or_default();
    let of_track = inner(trak, &[b"mdia", b"mdhd"]);
    let film = of_track.and_then(time).or_else(|| inner(moov, &[b"mvhd"]).and_then(time));
    let length = film.or_else(|| fragmented(moov));
    details.duration_ms = length.and_then(|(scale, units)| ratio(units, 1_000, scale));
    details.frames_per_1000_s = of_track.and_then(|header| {
        let scale = number(header, if *header.first()? == 1 { 20 } else { 12 }, 4)?;
        frames(inner(trak, &[b"mdia", b"minf", b"stbl", b"stts"])?, scale)
    });
    Some(details)
}

/// The duration of a fragmented video, whose headers were written first.
fn fragmented(moov: &[u8]) -> Option<(u64, u64)> {
    let mehd = inner(moov, &[b"mvex", b"mehd"])?;
    let units = number(mehd, 4, if *mehd.first()? == 1 { 8 } else { 4 })?;
    let mvhd = inner(moov, &[b"mvhd"])?;
    Some((number(mvhd, if *mvhd.first()? == 1 { 20 } else { 12 }, 4)?, units))
}

/// Displayed width and height: a video may be stored rotated.
fn track_sides(tkhd: &[u8]) -> Option<Details> {
    let end = tkhd.len();
    let field = |before_end: usize, length| number(tkhd, end.checked_sub(before_end)?, length);
    let (width, height) = (field(8, 2), field(4, 2));
    let is_turned = field(44, 4)? == 0 && field(40, 4)? != 0;
    if is_turned { sides(height, width) } else { sides(width, height) }
}

/// Frames in 1000 s, from runs of frames that each last as long.
fn frames(stts: &[u8], scale: u64) -> Option<u32> {
    let (mut frames, mut units) = (0_u64, 0_u64);
    for run in stts.get(8..)?.chunks_exact(8) {
        let count = number(run, 0, 4)?;
        frames += count;
        units = units.checked_add(count.checked_mul(number(run, 4, 4)?)?)?;
    }
    u32::try_from(ratio(frames, scale.checked_mul(1_000)?, units)?).ok()
}

fn webp(riff: &[u8]) -> Option<Details> {
    let little = |at: usize, length: usize| {
        let bytes = riff.get(at..at + length)?;
        Some(bytes.iter().rev().fold(0, |number, byte| number << 8 | u64::from(*byte)))
    };
    match riff.get(4..8)? {
        b"VP8X" => sides(little(16, 3).map(|width| width + 1), little(19, 3).map(|height| height + 1)),
        b"VP8 " => sides(little(18, 2).map(|width| width & 0x3fff), little(20, 2).map(|it| it & 0x3fff)),
        b"VP8L" => {
            let bits = little(13, 4)?;
            sides(Some((bits & 0x3fff) + 1), Some((bits >> 14 & 0x3fff) + 1))
        }
        _ => None,
    }
}

fn matroska(segment: &[u8]) -> Option<Details> {
    let unsigned = |content: &[u8], id| element(content, id).and_then(|text| number(text, 0, text.len()));
    let mut tracks = elements(element(segment, 0x1654_ae6b)?).filter(|(id, _)| *id == 0xae);
    let (_, track) = tracks.find(|(_, track)| unsigned(track, 0x83) == Some(1))?;
    let mut details = element(track, 0xe0)
        .and_then(|film| sides(unsigned(film, 0xb0), unsigned(film, 0xba)))
        .unwrap_or_default();
    let info = element(segment, 0x1549_a966);
    details.duration_ms = info.and_then(|info| {
        let ticks = float(element(info, 0x4489)?)?;
        let nanoseconds = unsigned(info, 0x2a_d7b1).unwrap_or(1_000_000);
        ratio(whole(ticks)?, nanoseconds, 1_000_000)
    });
    let frame = unsigned(track, 0x23_e383);
    details.frames_per_1000_s =
        frame.and_then(|nanoseconds| u32::try_from(ratio(1_000, 1_000_000_000, nanoseconds)?).ok());
    Some(details)
}

fn float(bytes: &[u8]) -> Option<f64> {
    match bytes.len() {
        4 => bytes.first_chunk().map(|bytes| f32::from_be_bytes(*bytes).into()),
        8 => bytes.first_chunk().map(|bytes| f64::from_be_bytes(*bytes)),
        _ => None,
    }
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "within these bounds")]
fn whole(ticks: f64) -> Option<u64> {
    (1.0..1e15).contains(&ticks).then_some(ticks.round() as u64)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mp4_box(kind: &[u8; 4], content: &[u8]) -> Vec<u8> {
        [&u32::try_from(content.len() + 8).unwrap().to_be_bytes(), &kind[..], content].concat()
    }

    fn numbers(numbers: &[u32]) -> Vec<u8> {
        numbers.iter().flat_map(|number| number.to_be_bytes()).collect()
    }

    fn track(kind: &[u8; 4], turned: bool, frames: &[u32]) -> Vec<u8> {
        let matrix = if turned { [0, 0x1_0000] } else { [0x1_0000, 0] };
        let matrix = [&matrix[..], &[0; 7]].concat();
        let tkhd = [vec![0; 40], numbers(&matrix), numbers(&[1280 << 16, 720 << 16])].concat();
        let mdhd = numbers(&[0, 0, 0, 12_800, 12_800 * 5, 0]);
        let hdlr = [&[0; 8], &kind[..], &[0; 12]].concat();
        let stts = mp4_box(b"stts", &numbers(&[&[0, 1], frames].concat()));
        let minf = mp4_box(b"minf", &mp4_box(b"stbl", &stts));
        let mdia = [mp4_box(b"mdhd", &mdhd), mp4_box(b"hdlr", &hdlr), minf].concat();
        mp4_box(b"trak", &[mp4_box(b"tkhd", &tkhd), mp4_box(b"mdia", &mdia)].concat())
    }

    fn values(details: Details) -> (Option<u32>, Option<u32>, Option<u64>, Option<u32>) {
        (details.width, details.height, details.duration_ms, details.frames_per_1000_s)
    }

    #[test]
    fn an_mp4_film_is_described_by_its_film_track() {
        let mvhd = mp4_box(b"mvhd", &numbers(&[0, 0, 0, 1_000, 5_000]));
        let moov = [mvhd, track(b"soun", false, &[1, 1]), track(b"vide", false, &[120, 533])].concat();
        let want = (Some(1_280), Some(720), Some(5_000), Some(24_015));
        assert_eq!(values(read(Format::Mp4, &moov)), want);
        let turned = track(b"vide", true, &[]);
        assert_eq!(values(read(Format::QuickTime, &turned)), (Some(720), Some(1_280), Some(5_000), None));
        assert!(!is_without_film(Format::Mp4, &moov));
        assert!(is_without_film(Format::Mp4, &track(b"soun", false, &[1, 1])));
        assert!(!is_without_film(Format::Mp4, &[7; 400]) && !is_without_film(Format::Mp4, b""));
    }

    #[test]
    fn stills_tell_their_sides() {
        let sides = |format, kept: &[u8]| (read(format, kept).width, read(format, kept).height);
        assert_eq!(sides(Format::Png, &numbers(&[640, 480])), (Some(640), Some(480)));
        assert_eq!(sides(Format::Jpeg, b"\x08\x01\xe0\x02\x80"), (Some(640), Some(480)));
        let extended = b"WEBPVP8X\x0a\0\0\0\0\0\0\0\x7f\x02\0\xdf\x01\0\0\0\0\0\0\0";
        assert_eq!(sides(Format::WebP, extended), (Some(640), Some(480)));
        let lossy = b"WEBPVP8 \0\0\0\0\0\0\0\x9d\x01\x2a\x80\x02\xe0\x01\0\0\0\0\0\0";
        assert_eq!(sides(Format::WebP, &lossy[..]), (Some(640), Some(480)));
        let bits = (639_u32 | 479 << 14).to_le_bytes();
        let lossless = [&b"WEBPVP8L\0\0\0\0\x2f"[..], &bits, &[0; 8]].concat();
        assert_eq!(sides(Format::WebP, &lossless), (Some(640), Some(480)));
    }

    fn ebml(id: &[u8], content: &[u8]) -> Vec<u8> {
        let size = 0x4000 | u16::try_from(content.len()).unwrap();
        [id, &size.to_be_bytes(), content].concat()
    }

    #[test]
    fn a_matroska_film_is_described_by_its_film_track() {
        let scale = ebml(&[0x2a, 0xd7, 0xb1], &1_000_000_u32.to_be_bytes());
        let info = [scale, ebml(&[0x44, 0x89], &4_960.0_f64.to_be_bytes())].concat();
        let sides = [ebml(&[0xb0], &640_u16.to_be_bytes()), ebml(&[0xba], &360_u16.to_be_bytes())].concat();
        let frame = ebml(&[0x23, 0xe3, 0x83], &41_666_667_u32.to_be_bytes());
        let film = [ebml(&[0x83], &[1]), frame, ebml(&[0xe0], &sides)].concat();
        let tracks = [ebml(&[0xae], &ebml(&[0x83], &[2])), ebml(&[0xae], &film)].concat();
        let segment =
            [ebml(&[0x15, 0x49, 0xa9, 0x66], &info), ebml(&[0x16, 0x54, 0xae, 0x6b], &tracks)].concat();
        let want = (Some(640), Some(360), Some(4_960), Some(24_000));
        assert_eq!(values(read(Format::WebM, &segment)), want);
        // Its film follows, and is not all there.
        let cut = [&segment[..], &[0x1f, 0x43, 0xb6, 0x75, 0x48, 0], &[0; 40]].concat();
        assert_eq!(values(read(Format::Matroska, &cut)), want);
    }

    #[test]
    fn what_cannot_be_read_is_absent() {
        let all = [Format::Mp4, Format::WebM, Format::Png, Format::Jpeg, Format::WebP];
        let whole = [track(b"vide", false, &[u32::MAX, u32::MAX]), vec![0xff; 64]].concat();
        for format in all {
            for end in 0..whole.len() {
                let _whatever = read(format, &whole[..end]);
                let _as_well = read(format, &whole[end..]);
            }
            assert_eq!(read(format, &[0; 64]), Details::default(), "{format:?}");
            assert_eq!(read(format, &[]), Details::default(), "{format:?}");
        }
    }
}

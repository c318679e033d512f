//! A small real video that shows a prompt: H.264 in an MP4 that players can start at once. Or
//! one picture of it, as a PNG.

use anyhow::anyhow;
use font8x8::{BASIC_FONTS, LATIN_FONTS, UnicodeFonts};
use muxide::api::{MuxerBuilder, VideoCodec};
use openh264::OpenH264API;
use openh264::encoder::{Encoder, EncoderConfig, FrameRate, FrameType, IntraFramePeriod, RateControlMode};
use openh264::formats::YUVSlices;
use sha2::{Digest, Sha256};

use super::jobs::Medium;
use super::png;

/// What to show.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct Picture {
    pub(crate) caption: String,
    /// Longer videos than [`SECONDS_MAX`] are cut to it.
    pub(crate) medium: Medium,
    /// Width and height, as a ratio.
    pub(crate) aspect: (u32, u32),
}

pub(crate) const SECONDS_MAX: u32 = 10;
const FRAMES_PER_SECOND: u32 = 12;
const PIXELS: f64 = 320.0 * 180.0;

/// Renders the picture. The same picture gives the same bytes.
///
/// Takes some tenths of a second of CPU: not for an async thread.
pub(crate) fn render(picture: &Picture) -> anyhow::Result<Vec<u8>> {
    let (width, height) = dimensions(picture.aspect);
    let mut scene = Scene::new(&picture.caption, width, height);
    match picture.medium {
        Medium::Video { seconds } => video(&mut scene, seconds),
        Medium::Image => {
            scene.paint(0);
            png::encode(u32::try_from(width)?, &scene.palette(), &scene.luma)
        }
    }
}

fn video(scene: &mut Scene, seconds: u32) -> anyhow::Result<Vec<u8>> {
    let (width, height) = (u32::try_from(scene.width)?, u32::try_from(scene.height)?);
    let config = EncoderConfig::new()
        .rate_control_mode(RateControlMode::Off)
        .max_frame_rate(FrameRate::from_hz(12.0))
        .intra_frame_period(IntraFramePeriod::from_num_frames(FRAMES_PER_SECOND * 2))
        .skip_frames(false)
        .num_threads(1);
    let mut encoder = Encoder::with_api_config(OpenH264API::from_source(), config)?;
    let mut muxer = MuxerBuilder::new(Vec::new())
        .video(VideoCodec::H264, width, height, f64::from(FRAMES_PER_SECOND))
        .with_fast_start(true)
        .build()
        .map_err(|error| anyhow!("the muxer did not start: {error}"))?;
    for frame in 0..seconds.clamp(1, SECONDS_MAX) * FRAMES_PER_SECOND {
        scene.paint(frame as usize);
        let stream = encoder.encode(&scene.planes())?;
        let keyframe = stream.frame_type() == FrameType::IDR;
        let pts = f64::from(frame) / f64::from(FRAMES_PER_SECOND);
        muxer
            .write_video(pts, &stream.to_vec(), keyframe)
            .map_err(|error| anyhow!("frame {frame} was not written: {error}"))?;
    }
    muxer.finish_in_place().map_err(|error| anyhow!("the video was not finished: {error}"))?;
    Ok(muxer.into_writer())
}

/// Even numbers of the asked ratio with about as many pixels as 320 by 180.
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "bounded by PIXELS")]
fn dimensions((width, height): (u32, u32)) -> (usize, usize) {
    let ratio = (f64::from(width.max(1)) / f64::from(height.max(1))).clamp(0.25, 4.0);
    let even = |length: f64| (length / 2.0).round() as usize * 2;
    (even((PIXELS * ratio).sqrt()), even((PIXELS / ratio).sqrt()))
}

/// Text that drifts over a background that drifts the other way.
struct Scene {
    width: usize,
    height: usize,
    /// One period of the background in each direction wider and higher than the picture.
    canvas: Vec<u8>,
    colours: (u8, u8),
    lines: Vec<String>,
    scale: usize,
    luma: Vec<u8>,
    chroma: (Vec<u8>, Vec<u8>),
}

/// The period of the background, in pixels.
const PERIOD: usize = 64;
/// How far the text drifts from its middle, in pixels.
const DRIFT: usize = 8;

impl Scene {
    fn new(caption: &str, width: usize, height: usize) -> Self {
        let hash = Sha256::digest(caption.as_bytes());
        let (scale, lines) = layout(caption, width, height);
        let stride = width + PERIOD;
        let slope = 1 + usize::from(hash[2] % 3);
        let canvas = (0..stride * (height + PERIOD))
            .map(|index| {
                let (x, y) = (index % stride, index / stride);
                let wave = (x * slope + y * 2) % PERIOD;
                u8::try_from(48 + wave.min(PERIOD - wave) * 2).unwrap_or(u8::MAX)
            })
            .collect();
        Self {
            width,
            height,
            canvas,
            colours: (hash[0] / 2 + 64, hash[1] / 2 + 64),
            lines,
            scale,
            luma: vec![0; width * height],
            chroma: (vec![0; width * height / 4], vec![0; width * height / 4]),
        }
    }

    fn paint(&mut self, frame: usize) {
        let stride = self.width + PERIOD;
        for y in 0..self.height {
            let from = (y + frame % PERIOD) * stride + frame * 2 % PERIOD;
            let row = &self.canvas[from..from + self.width];
            self.luma[y * self.width..(y + 1) * self.width].copy_from_slice(row);
        }
        self.chroma.0.fill(self.colours.0);
        self.chroma.1.fill(self.colours.1);
        let swing = frame % (4 * DRIFT);
        let drift = swing.min(4 * DRIFT - swing);
        let glyph = 8 * self.scale;
        let top =
            (self.height.saturating_sub(self.lines.len() * (glyph + 2)) / 2 + drift).saturating_sub(DRIFT);
        if self.scale == 1 {
            self.panel(top);
        }
        for (index, line) in self.lines.clone().iter().enumerate() {
            let width = line.chars().count() * glyph;
            let left = (self.width.saturating_sub(width) / 2 + drift).saturating_sub(DRIFT);
            for (column, character) in line.chars().enumerate() {
                self.character(character, left + column * glyph, top + index * (glyph + 2));
            }
        }
    }

    /// A dark band behind small characters: easier to read, and cheap to encode while it drifts.
    fn panel(&mut self, top: usize) {
        let rows = self.lines.len() * (8 * self.scale + 2);
        let until = (top + rows).min(self.height);
        self.luma[top * self.width..until * self.width].fill(24);
    }

    /// A white character with a dark shadow.
    fn character(&mut self, character: char, left: usize, top: usize) {
        let unknown = || BASIC_FONTS.get('?').unwrap_or_default();
        let rows = BASIC_FONTS.get(character).or_else(|| LATIN_FONTS.get(character)).unwrap_or_else(unknown);
        for (shift, shade) in [(1, 16), (0, 235)] {
            for (y, row) in rows.iter().enumerate() {
                for x in (0..8).filter(|x| row & (1 << x) != 0) {
                    self.dot(left + x * self.scale + shift, top + y * self.scale + shift, shade);
                }
            }
        }
    }

    fn dot(&mut self, left: usize, top: usize, shade: u8) {
        for y in top..(top + self.scale).min(self.height) {
            for x in left..(left + self.scale).min(self.width) {
                self.luma[y * self.width + x] = shade;
            }
        }
    }

    /// The colour of each shade, by BT.601; the background colours all of a scene alike.
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "clamped to a byte")]
    fn palette(&self) -> [[u8; 3]; 256] {
        let (blue, red) = (f64::from(self.colours.0) - 128.0, f64::from(self.colours.1) - 128.0);
        let shifts = [1.596 * red, -0.392 * blue - 0.813 * red, 2.017 * blue];
        std::array::from_fn(|shade| {
            let light = 1.164 * (shade as f64 - 16.0);
            shifts.map(|shift| (light + shift).clamp(0.0, 255.0) as u8)
        })
    }

    fn planes(&self) -> YUVSlices<'_> {
        let half = self.width / 2;
        YUVSlices::new(
            (&self.luma, &self.chroma.0, &self.chroma.1),
            (self.width, self.height),
            (self.width, half, half),
        )
    }
}

/// The largest characters at which the caption fits, and its lines; cut at the smallest.
fn layout(caption: &str, width: usize, height: usize) -> (usize, Vec<String>) {
    let rows = |scale| (height - 2 * DRIFT) / (8 * scale + 2);
    let lines = |scale| wrap(caption, (width - 2 * DRIFT) / (8 * scale));
    let scale = [3, 2].into_iter().find(|scale| lines(*scale).len() <= rows(*scale)).unwrap_or(1);
    let mut lines = lines(scale);
    lines.truncate(rows(scale));
    (scale, lines)
}

/// Breaks at spaces; a word longer than a line is cut.
fn wrap(text: &str, columns: usize) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    for word in text.split_whitespace() {
        for piece in word.chars().collect::<Vec<_>>().chunks(columns) {
            let piece: String = piece.iter().collect();
            let length = |text: &str| text.chars().count();
            match lines.last_mut() {
                Some(line) if length(line) + 1 + length(&piece) <= columns => {
                    line.push(' ');
                    line.push_str(&piece);
                }
                _ => lines.push(piece),
            }
        }
    }
    lines
}

#[cfg(test)]
mod tests {
    use openh264::decoder::Decoder;
    use openh264::formats::YUVSource;

    use super::*;

    fn video(caption: &str, seconds: u32, aspect: (u32, u32)) -> Vec<u8> {
        picture(caption, Medium::Video { seconds }, aspect)
    }

    fn picture(caption: &str, medium: Medium, aspect: (u32, u32)) -> Vec<u8> {
        render(&Picture { caption: caption.to_owned(), medium, aspect }).unwrap()
    }

    fn place(video: &[u8], atom: &[u8; 4]) -> usize {
        video.windows(4).position(|window| window == atom).unwrap()
    }

    /// The pictures as a player decodes them: width, height and mean brightness of each.
    fn pictures(video: &[u8]) -> Vec<(usize, usize, u64)> {
        let mut decoder = Decoder::new().unwrap();
        let mut pictures = Vec::new();
        let mut rest = &video[place(video, b"mdat") + 4..];
        while let Some((length, after)) = rest.split_first_chunk::<4>() {
            let (unit, next) = after.split_at(u32::from_be_bytes(*length) as usize);
            if let Some(picture) = decoder.decode(&[&[0, 0, 0, 1], unit].concat()).unwrap() {
                let (width, height) = picture.dimensions();
                let light: u64 = picture.y().iter().map(|shade| u64::from(*shade)).sum();
                pictures.push((width, height, light));
            }
            rest = next;
        }
        pictures
    }

    #[test]
    fn every_frame_of_a_video_decodes_in_the_asked_ratio_and_moves() {
        for (aspect, size) in [((1280, 720), (320, 180)), ((9, 16), (180, 320)), ((1, 1), (240, 240))] {
            let pictures = pictures(&video("a paper boat", 3, aspect));
            assert_eq!(pictures.len(), 36);
            assert!(pictures.iter().all(|picture| (picture.0, picture.1) == size), "{aspect:?}");
            assert!(pictures.windows(2).any(|pair| pair[0] != pair[1]));
        }
    }

    #[test]
    fn a_video_starts_at_once_and_repeats_byte_for_byte() {
        let boat = video("a paper boat", 1, (16, 9));
        assert!(place(&boat, b"moov") < place(&boat, b"mdat"));
        assert_eq!(boat, video("a paper boat", 1, (16, 9)));
        assert_ne!(boat, video("a paper bird", 1, (16, 9)));
    }

    #[test]
    fn the_longest_and_fullest_video_stays_small() {
        let wall = video(&"Lorem ipsum dolor sit amet ".repeat(60), 99, (16, 9));
        assert_eq!(pictures(&wall).len(), 120);
        assert!(wall.len() < 500_000, "{} bytes", wall.len());
        assert!(!video("", 1, (16, 9)).is_empty());
    }

    fn number(bytes: &[u8]) -> u32 {
        u32::from_be_bytes(bytes[..4].try_into().unwrap())
    }

    /// The chunks of a PNG after its signature, each with a right sum.
    fn chunks(png: &[u8]) -> Vec<(&[u8], &[u8])> {
        let mut rest = png.strip_prefix(b"\x89PNG\r\n\x1a\n").unwrap();
        let mut chunks = Vec::new();
        while !rest.is_empty() {
            let (head, after) = rest[4..].split_at(4 + number(rest) as usize);
            assert_eq!(crc32fast::hash(head), number(after));
            chunks.push(head.split_at(4));
            rest = &after[4..];
        }
        chunks
    }

    #[test]
    fn an_image_is_a_whole_png_in_the_asked_ratio() {
        for (aspect, size) in [((16, 9), (320, 180)), ((2, 3), (196, 294)), ((1, 1), (240, 240))] {
            let image = picture("a paper boat", Medium::Image, aspect);
            let chunks = chunks(&image);
            assert_eq!(
                chunks.iter().map(|(kind, _)| *kind).collect::<Vec<_>>(),
                [b"IHDR", b"PLTE", b"IDAT", b"IEND"]
            );
            let header = chunks[0].1;
            assert_eq!((number(header), number(&header[4..])), size, "{aspect:?}");
            let (mut blocks, mut rows) = (&chunks[2].1[2..], Vec::new());
            while blocks.len() > 4 {
                let length = usize::from(u16::from_le_bytes([blocks[1], blocks[2]]));
                assert_eq!([!blocks[1], !blocks[2]], blocks[3..5]);
                rows.extend(&blocks[5..5 + length]);
                blocks = &blocks[5 + length..];
            }
            assert_eq!(rows.len() as u32, size.1 * (size.0 + 1));
            assert!(rows.chunks(size.0 as usize + 1).all(|row| row[0] == 0));
            assert!(rows.contains(&235), "no character is painted");
        }
    }
}

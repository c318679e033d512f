//! Sizes in pixels, for dialects that have them in the place of aspect ratio and resolution.

use std::fmt;

use super::catalog::{Model, Route};
use super::request::JobRequest;

/// Ratios of images that clients name where the video follows its image.
const COMMON_RATIOS: [&str; 3] = ["16:9", "9:16", "1:1"];

/// A size that a model makes.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Size {
    width: u32,
    height: u32,
    pub resolution: String,
    /// `None` if it is the ratio of the request's image, whatever is asked for.
    pub aspect_ratio: Option<String>,
}

impl Size {
    /// The sizes of a model's videos from a text or from an image.
    pub fn all(model: &Model, from_image: bool) -> Vec<Self> {
        let mut sizes: Vec<Self> =
            model.routes.iter().flat_map(|route| of_route(route, from_image)).collect();
        // A ratio that can be chosen comes before one that follows the image.
        sizes.sort_by_key(|size| (size.width, size.height, size.aspect_ratio.is_none()));
        sizes.dedup_by_key(|size| (size.width, size.height));
        sizes
    }

    /// The size of a request's video; the name of its resolution if its ratio is an image's.
    pub fn ordered(request: &JobRequest) -> String {
        let ratio = request.aspect_ratio.as_ref();
        let pixels = ratio.and_then(|ratio| pixels(ratio, &request.resolution));
        pixels.map_or_else(|| request.resolution.clone(), |(width, height)| format!("{width}x{height}"))
    }
}

impl fmt::Display for Size {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}x{}", self.width, self.height)
    }
}

fn of_route(route: &Route, from_image: bool) -> Vec<Size> {
    let endpoint = if from_image { &route.image_endpoint } else { &route.endpoint };
    let follows_image = from_image && route.image_aspect_ratios.is_empty();
    let ratios: Vec<&str> = match (endpoint, from_image) {
        (None, _) => Vec::new(),
        _ if follows_image => COMMON_RATIOS.to_vec(),
        (_, true) => route.image_aspect_ratios.iter().map(String::as_str).collect(),
        (_, false) => route.aspect_ratios.iter().map(String::as_str).collect(),
    };
    let size = |ratio: &str, resolution: &String| {
        let (width, height) = pixels(ratio, resolution)?;
        let aspect_ratio = (!follows_image).then(|| ratio.to_owned());
        Some(Size { width, height, resolution: resolution.clone(), aspect_ratio })
    };
    let of_ratio = |ratio| route.resolutions.iter().filter_map(move |resolution| size(ratio, resolution));
    ratios.into_iter().flat_map(of_ratio).collect()
}

/// Width and height of a ratio like `16:9` at a resolution like `720p`, even as encoders need them.
fn pixels(aspect_ratio: &str, resolution: &str) -> Option<(u32, u32)> {
    let (width, height) = aspect_ratio.split_once(':')?;
    let (width, height): (u32, u32) = (width.parse().ok()?, height.parse().ok()?);
    let short: u32 = match resolution {
        "2k" => 1_440,
        "4k" => 2_160,
        lines => lines.strip_suffix('p')?.parse().ok()?,
    };
    let (less, more) = (width.min(height), width.max(height));
    let long = (short * more).checked_add(less)?.checked_div(2 * less)? * 2;
    Some(if width >= height { (long, short) } else { (short, long) })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::catalog::{Catalog, Kind};

    #[test]
    fn a_size_has_the_pixels_of_its_ratio_and_resolution() {
        for (aspect_ratio, resolution, size) in [
            ("16:9", "720p", Some((1_280, 720))),
            ("9:16", "1080p", Some((1_080, 1_920))),
            ("1:1", "4k", Some((2_160, 2_160))),
            ("16:9", "480p", Some((854, 480))),
            ("21:9", "2k", Some((3_360, 1_440))),
            ("16:9", "1mp", None),
            ("0:9", "720p", None),
            ("wide", "720p", None),
        ] {
            assert_eq!(pixels(aspect_ratio, resolution), size, "{aspect_ratio} {resolution}");
        }
    }

    #[test]
    fn each_size_of_a_video_model_is_there_once() {
        for model in Catalog::built_in().models().filter(|model| model.kind == Kind::Video) {
            for from_image in [false, true] {
                let sizes: Vec<_> = Size::all(model, from_image).iter().map(Size::to_string).collect();
                let different: std::collections::BTreeSet<_> = sizes.iter().collect();
                assert_eq!(different.len(), sizes.len(), "{}: {sizes:?}", model.name);
                let is_made = |route: &Route| {
                    if from_image { route.image_endpoint.is_some() } else { route.endpoint.is_some() }
                };
                assert_eq!(sizes.is_empty(), !model.routes.iter().any(is_made), "{}", model.name);
            }
        }
    }

    #[test]
    fn a_ratio_that_is_the_images_is_not_asked_for() {
        let catalog = Catalog::built_in();
        let size = |model: &str, from_image| {
            let sizes = Size::all(catalog.model(model).unwrap(), from_image);
            sizes.into_iter().find(|size| size.to_string() == "1280x720").unwrap().aspect_ratio
        };
        assert_eq!(size("veo-3.1", false).as_deref(), Some("16:9"));
        assert_eq!(size("pika-2.2", true), None);
    }
}

//! Other forms of a video, such as a poster frame, that a CDN of the operator makes from its link: by templates
//! of URLs.

use std::collections::BTreeMap;
use std::str::FromStr;

use url::{Url, form_urlencoded};

use super::media::Media;

/// What stands for the presigned link of the file, percent-encoded.
const LINK: &str = "{url}";
/// What stands for the key of the file in the bucket.
const KEY: &str = "{key}";
/// Templates of one operator.
const TEMPLATES_MAX: usize = 8;

/// The templates of the operator, by the name of the variant.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Variants(BTreeMap<String, String>);

impl Variants {
    /// The URLs of a video's variants; none of an image.
    pub fn of(&self, media: &Media, link: &str) -> BTreeMap<String, String> {
        if !media.content_type.starts_with("video/") {
            return BTreeMap::new();
        }
        let link: String = form_urlencoded::byte_serialize(link.as_bytes()).collect();
        let filled = |template: &String| template.replace(LINK, &link).replace(KEY, &media.key);
        self.0.iter().map(|(name, template)| (name.clone(), filled(template))).collect()
    }
}

impl FromStr for Variants {
    type Err = &'static str;

    /// `poster=https://img.example.com/frame/{url} preview=https://…`: separated by blanks.
    fn from_str(text: &str) -> Result<Self, &'static str> {
        let mut templates = BTreeMap::new();
        for pair in text.split_whitespace() {
            let (name, template) = pair.split_once('=').ok_or("it has no name and `=` before a template")?;
            let is_name =
                !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_');
            if !is_name {
                return Err("a name is of a-z and `_`");
            }
            let url = Url::parse(&template.replace(LINK, "x").replace(KEY, "x"));
            let is_visible = template.bytes().all(|byte| byte.is_ascii_graphic());
            if !is_visible || !url.is_ok_and(|url| url.scheme() == "https" && url.has_host()) {
                return Err("a template is an https URL of visible ASCII characters");
            }
            if !template.contains(LINK) && !template.contains(KEY) {
                return Err("a template has `{url}` or `{key}`");
            }
            if templates.insert(name.to_owned(), template.to_owned()).is_some()
                || templates.len() > TEMPLATES_MAX
            {
                return Err("each name is there once, and there are at most 8");
            }
        }
        Ok(Self(templates))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::media::Details;

    fn media(content_type: &str) -> Media {
        let (key, sha256) = ("media/a/b/1/video.mp4".to_owned(), String::new());
        Media { key, bytes: 1, sha256, content_type: content_type.to_owned(), details: Details::default() }
    }

    #[test]
    fn a_template_gets_the_link_or_the_key_of_a_video() {
        let text = "poster=https://img.example.com/cdn-cgi/media/mode=frame,time=1s/{url}\n \
                    preview=https://cdn.example.com/{key}?w=320";
        let variants: Variants = text.parse().unwrap();
        let link = "https://bucket.s3.example/media/a?X-Amz-Signature=1&b=%2F";
        let made = variants.of(&media("video/mp4"), link);
        assert_eq!(
            made["poster"],
            "https://img.example.com/cdn-cgi/media/mode=frame,time=1s/\
             https%3A%2F%2Fbucket.s3.example%2Fmedia%2Fa%3FX-Amz-Signature%3D1%26b%3D%252F"
        );
        assert_eq!(made["preview"], "https://cdn.example.com/media/a/b/1/video.mp4?w=320");
        assert_eq!(variants.of(&media("image/png"), link).len(), 0);
        assert_eq!("".parse(), Ok(Variants::default()));
    }

    #[test]
    fn what_is_no_template_is_refused() {
        for text in [
            "poster",
            "=https://a.example/{url}",
            "Poster=https://a.example/{url}",
            "poster=http://a.example/{url}",
            "poster={url}",
            "poster=https://a.example/",
            "poster=https://a.example/{url} poster=https://b.example/{url}",
        ] {
            assert!(text.parse::<Variants>().is_err(), "{text}");
        }
    }
}

//! Downloads of what a URL names: media of any size, and the caller's images.

pub(super) mod download;
pub(super) mod image;
pub mod pace;

pub use download::{Download, DownloadError, Downloader, File};
pub use image::{FETCH_MAX as IMAGE_WITHIN, Image};

//! The adapters, and the one `match` that names them.

mod byteplus;
mod dashscope;
mod fal;
mod google;
mod kling;
mod luma;
mod minimax;
pub(super) mod model_input;
mod openai;
mod replicate;
mod runway;
mod stability;
mod unlisted;
mod xai;

use super::adapter::Adapter;
use domain::provider::Provider;

/// The adapter of a provider.
pub fn adapter(provider: Provider) -> &'static dyn Adapter {
    match provider {
        Provider::Fal => &fal::Fal,
        Provider::Runway => &runway::Runway,
        Provider::Stability => &stability::Stability,
        Provider::Replicate => &replicate::Replicate,
        Provider::Luma => &luma::Luma,
        Provider::DreamMachine => &luma::DreamMachine,
        Provider::Gemini => &google::Gemini,
        Provider::Vertex => &google::Vertex,
        Provider::Kling => &kling::Kling,
        Provider::KlingLegacy => &kling::KlingLegacy,
        Provider::Minimax => &minimax::Minimax,
        Provider::Openai => &openai::Openai,
        Provider::Byteplus => &byteplus::Byteplus,
        Provider::Dashscope => &dashscope::Dashscope,
        Provider::Xai => &xai::Xai,
        Provider::Other(_) => &unlisted::Unlisted,
    }
}

//! The simulated providers, one module each.

mod byteplus;
mod dashscope;
mod dream_machine;
mod fal;
mod gemini;
mod google;
mod kling;
mod kling_legacy;
mod luma;
mod minimax;
mod openai;
mod replicate;
pub(crate) mod rsa;
mod runway;
mod stability;
mod vertex;
mod xai;

use domain::provider::Provider;

use crate::frame::simulator::Definition;
use crate::frame::wire::Wire;

#[cfg(test)]
pub(super) use self::{
    byteplus::tests::CLIENT as BYTEPLUS, dashscope::tests::CLIENT as DASHSCOPE,
    dream_machine::tests::CLIENT as DREAM_MACHINE, fal::tests::CLIENT as FAL,
    gemini::tests::CLIENT as GEMINI, kling::tests::CLIENT as KLING,
    kling_legacy::tests::CLIENT as KLING_LEGACY, luma::tests::CLIENT as LUMA,
    minimax::tests::CLIENT as MINIMAX, openai::tests::CLIENT as OPENAI,
    replicate::tests::CLIENT as REPLICATE, runway::tests::CLIENT as RUNWAY, xai::tests::CLIENT as XAI,
};

pub(super) fn definition(provider: Provider) -> Definition {
    Definition { provider, wire: wire(provider), is_own }
}

/// Whether this is a directive of some provider's own. Every provider accepts it, so that one prompt
/// works at all of them.
pub(super) fn is_own(key: &str, value: &str) -> bool {
    Provider::ALL.iter().any(|provider| wire(*provider).has_directive(key, value))
}

fn wire(provider: Provider) -> &'static dyn Wire {
    match provider {
        Provider::Fal => &fal::Fal,
        Provider::Runway => &runway::Runway,
        Provider::Stability => &stability::Stability,
        Provider::Replicate => &replicate::Replicate,
        Provider::Luma => &luma::Luma,
        Provider::DreamMachine => &dream_machine::DreamMachine,
        Provider::Gemini => &gemini::Gemini,
        Provider::Vertex => &vertex::Vertex,
        Provider::Kling => &kling::Kling,
        Provider::KlingLegacy => &kling_legacy::KlingLegacy,
        Provider::Minimax => &minimax::Minimax,
        Provider::Openai => &openai::Openai,
        Provider::Byteplus => &byteplus::Byteplus,
        Provider::Dashscope => &dashscope::Dashscope,
        Provider::Xai => &xai::Xai,
        // Only stored rows name such, and no simulator is opened for those.
        Provider::Other(name) => panic!("{name} has no simulator"),
    }
}

//! The simulated providers, one module each.

mod dream_machine;
mod fal;
mod gemini;
mod kling;
mod kling_legacy;
mod luma;
mod minimax;
mod openai;
mod replicate;
mod runway;
mod stability;
mod vertex;

use domain::provider::Provider;
use serde_json::Value;

use super::wire::Wire;

#[cfg(test)]
pub(super) use self::{
    dream_machine::tests::CLIENT as DREAM_MACHINE, fal::tests::CLIENT as FAL,
    gemini::tests::CLIENT as GEMINI, kling::tests::CLIENT as KLING,
    kling_legacy::tests::CLIENT as KLING_LEGACY, luma::tests::CLIENT as LUMA,
    minimax::tests::CLIENT as MINIMAX, openai::tests::CLIENT as OPENAI,
    replicate::tests::CLIENT as REPLICATE, runway::tests::CLIENT as RUNWAY,
};

pub(super) fn wire(provider: Provider) -> &'static dyn Wire {
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
        // Only stored rows name such, and no simulator is opened for those.
        Provider::Other(name) => panic!("{name} has no simulator"),
    }
}

/// Width and height of a ratio written as `16:9`, which is also what holds without one.
fn ratio(text: Option<&Value>) -> (u32, u32) {
    let sides = text.and_then(Value::as_str).and_then(|text| text.split_once(':'));
    sides.and_then(|(width, height)| Some((width.parse().ok()?, height.parse().ok()?))).unwrap_or((16, 9))
}

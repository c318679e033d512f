//! The simulated providers, one module each.

mod fal;
mod gemini;
mod runway;
mod vertex;

use shared::domain::provider::Provider;

use super::wire::Wire;

#[cfg(test)]
pub(super) use self::{
    fal::tests::CLIENT as FAL, gemini::tests::CLIENT as GEMINI, runway::tests::CLIENT as RUNWAY,
};

pub(super) fn wire(provider: Provider) -> &'static dyn Wire {
    match provider {
        Provider::Fal => &fal::Fal,
        Provider::Runway => &runway::Runway,
        Provider::Gemini => &gemini::Gemini,
        Provider::Vertex => &vertex::Vertex,
    }
}

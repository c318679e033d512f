//! The key that has signed in.

use domain::allowed::Allowed;
use domain::provider::Provider;
use lambda_http::{Body, Response};
use maud::html;

use crate::Page;
use crate::layout::{Content, time};

pub(crate) fn show(page: &Page<'_>) -> Response<Body> {
    let key = &page.visitor.key;
    let scopes: Vec<_> = key.scopes.iter().map(|scope| scope.name()).collect();
    let Allowed { models, providers } = &key.rules.allowed;
    let models = models.as_ref().map_or_else(|| "all".to_owned(), |models| models.join(", "));
    let names = |all: &Vec<Provider>| all.iter().map(|one| one.name()).collect::<Vec<_>>().join(", ");
    let providers = providers.as_ref().map_or_else(|| "all".to_owned(), names);
    let body = html! {
        dl.facts {
            dt { "Key" } dd { code { (key.id) } }
            dt { "Account" } dd { code { (key.account) } }
            dt { "Rights" } dd { (scopes.join(", ")) }
            dt { "Models" } dd { (models) }
            dt { "Providers" } dd { (providers) }
            dt { "Created" } dd { (time(key.created_at)) " UTC" }
        }
        p { "No page can make a key, so that no stolen session can. An operator does:" }
        pre tabindex="0" { code { "genmux keys create --account " (key.account) "\ngenmux keys revoke " (key.id) } }
    };
    page.layout.page(page.visitor, Content { title: "Key", entry: "key", media: None, body })
}

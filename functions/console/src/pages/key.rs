//! The key that has signed in.

use lambda_http::{Body, Response};
use maud::html;

use crate::Page;
use crate::layout::{Content, time};

pub(crate) fn show(page: &Page<'_>) -> Response<Body> {
    let key = &page.visitor.key;
    let scopes: Vec<_> = key.scopes.iter().map(|scope| scope.name()).collect();
    let body = html! {
        dl.facts {
            dt { "Key" } dd { code { (key.id) } }
            dt { "Account" } dd { code { (key.account) } }
            dt { "Rights" } dd { (scopes.join(", ")) }
            dt { "Created" } dd { (time(key.created_at)) " UTC" }
        }
        p { "No page can make a key, so that no stolen session can. An operator does:" }
        pre tabindex="0" { code { "genmux keys create --account " (key.account) "\ngenmux keys revoke " (key.id) } }
    };
    page.layout.page(page.visitor, Content { title: "Key", entry: "key", media: None, body })
}

//! A form for a job, from the limits of the catalogue, with the price before it is submitted.

use std::collections::BTreeSet;

use domain::catalog::{Audio, Kind, Model};
use domain::id::{JobId, base32};
use domain::request::{FieldError, JobRequest, Order};
use lambda_http::http::{HeaderMap, StatusCode};
use lambda_http::{Body, Response};
use maud::{Markup, html};
use shared::edge::http::Problem;
use shared::edge::{note_created, note_job};
use shared::operate::prices::Terms;
use shared::operate::read;
use shared::operate::submit::Submission;
use shared::store::jobs::Created;

use crate::Page;
use crate::form::Form;
use crate::layout::{Content, credits};

/// The form: with what was filled in, or with the request of the job `from`. No prompt is part of a URL, which
/// proxies and browsers keep.
pub(crate) async fn show(page: &Page<'_>) -> Result<Response<Body>, Problem> {
    let key = base32(&page.app.random.bytes::<10>());
    let Some(id) = page.form.get("from").and_then(|id| id.parse::<JobId>().ok()) else {
        return form_page(page, &key, None).await;
    };
    let found = read::job_with_request(&page.app.jobs, page.account(), &id).await?;
    let (_, request) = found.ok_or_else(Problem::not_found)?;
    form_page(&Page { form: &filled(&super::job::repeatable(&request)), ..*page }, &key, None).await
}

/// A request as the fields of the form.
fn filled(request: &JobRequest) -> Form {
    let audio = request.audio.map(|audio| if audio { "on" } else { "off" }.to_owned());
    let fields = [
        ("model", Some(request.model.clone())),
        ("prompt", Some(request.prompt.clone())),
        ("image_url", request.image_url.as_ref().map(|url| url.as_str().to_owned())),
        ("duration_s", request.duration_s.map(|secs| secs.to_string())),
        ("resolution", Some(request.resolution.clone())),
        ("aspect_ratio", request.aspect_ratio.clone()),
        ("audio", audio),
        ("seed", request.seed.map(|seed| seed.to_string())),
        ("negative_prompt", request.negative_prompt.clone()),
    ];
    Form::new(fields.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?))).collect())
}

/// `POST playground`: submits the job, and shows it. The same form makes one job, however often it is sent.
pub(crate) async fn submit(page: &Page<'_>) -> Result<Response<Body>, Problem> {
    page.check_write()?;
    let app = page.app;
    let Some(key) = page.form.get("form") else { return show(page).await };
    let now = app.clock.now();
    let request = match request(page, order(page.form)) {
        Ok(request) => request,
        Err(wrong) => return form_page(page, key, Some(&wrong)).await,
    };
    let terms = app.submit.prices.of(page.account(), now).await?;
    let Some(price) = terms.quote(&request, &app.catalog) else {
        return form_page(page, key, Some("There is no price for this resolution.")).await;
    };
    let id = JobId::for_key(page.account(), &format!("console-{key}"));
    let caller = page.visitor.key.clone();
    let submission =
        Submission { id, key: caller, order: request, price, terms, body_digest: None, retry_count: None };
    let submitted = app.submit.place(submission, now).await?;
    if let Created::New(job) | Created::Existing(job) = &submitted.created {
        match &submitted.created {
            // A page has no caller whose trace it could be linked to.
            Created::New(_) => note_created(job.id(), &HeaderMap::new()),
            _ => note_job(job.id()),
        }
        return Ok(page.layout.redirect(&format!("jobs/{}", job.id())));
    }
    let reused = || "This form has made a job already: open the playground again.".to_owned();
    form_page(page, key, Some(&submitted.refusal(price).unwrap_or_else(reused))).await
}

/// A valid request, or all mistakes in one text.
fn request(page: &Page<'_>, order: Result<Order, FieldError>) -> Result<JobRequest, String> {
    let app = page.app;
    let order = order.map_err(|error| error.to_string())?;
    let text =
        |errors: Vec<FieldError>| errors.iter().map(FieldError::to_string).collect::<Vec<_>>().join(". ");
    let request = JobRequest::within(order, page.account(), &app.catalog, app.reach, app.clock.now());
    let request = request.map_err(text)?;
    page.visitor.key.rules.allowed.check(&request, &app.catalog).map_err(text)?;
    Ok(request)
}

/// The fields of the form, as the body of a request. What is blank is absent.
fn order(form: &Form) -> Result<Order, FieldError> {
    let text = |name: &str| form.get(name).map(str::to_owned);
    let number = |name: &'static str| {
        let wrong = || FieldError {
            field: name.into(),
            detail: "must be a whole number".to_owned(),
            allowed: Vec::new(),
        };
        form.get(name).map(|text| text.parse().map_err(|_no_number| wrong())).transpose()
    };
    Ok(Order {
        model: text("model").unwrap_or_default(),
        prompt: text("prompt").unwrap_or_default(),
        image_url: text("image_url"),
        duration_s: number("duration_s")?,
        aspect_ratio: text("aspect_ratio"),
        resolution: text("resolution"),
        seed: number("seed")?,
        negative_prompt: text("negative_prompt"),
        audio: form.get("audio").map(|audio| audio == "on"),
        ..Order::default()
    })
}

async fn form_page(page: &Page<'_>, key: &str, wrong: Option<&str>) -> Result<Response<Body>, Problem> {
    let now = page.app.clock.now();
    let terms = page.app.submit.prices.of(page.account(), now).await?;
    let models: Vec<&Model> = page.app.catalog.sold(now).collect();
    let wanted = page.form.get("model").unwrap_or_default();
    let model = models.iter().find(|model| model.name == wanted).or(models.first());
    let model = *model.ok_or_else(Problem::not_found)?;
    let playground = page.layout.at("playground");
    let body = html! {
        @if let Some(wrong) = wrong { p.bad role="alert" { (wrong) } }
        // One form to choose the model, which decides the fields of the other.
        form.row method="get" action=(playground) {
            div {
                label for="model" { "Model" }
                select #model name="model" {
                    @for kind in [Kind::Video, Kind::Image] {
                        optgroup label=(kind_name(kind)) {
                            @for one in models.iter().filter(|one| one.kind == kind) {
                                option value=(one.name) selected[one.name == model.name] { (one.title) }
                            }
                        }
                    }
                }
            }
            button type="submit" { "Choose" }
        }
        form.stack method="post" action=(playground) {
            input type="hidden" name="form" value=(key);
            input type="hidden" name="model" value=(model.name);
            // Not on the form: what is required is still missing when the price is asked for.
            div.stack hx-get=(playground) hx-trigger="change" hx-include="closest form" hx-params="not prompt,negative_prompt" hx-select="#price"
                hx-target="#price" hx-swap="outerHTML" { (fields(page.form, model)) }
            (price_of(page, model, &terms))
            button type="submit" { "Submit" }
        }
    };
    let mut response = page
        .layout
        .page(page.visitor, Content { title: "Playground", entry: "playground", media: None, body });
    if wrong.is_some() {
        *response.status_mut() = StatusCode::UNPROCESSABLE_ENTITY;
    }
    Ok(response)
}

fn fields(form: &Form, model: &Model) -> Markup {
    let value = |name: &str| form.get(name).unwrap_or_default();
    let lengths: BTreeSet<u32> =
        model.routes.iter().flat_map(|route| route.durations_s.iter().copied()).collect();
    let lengths: Vec<String> = lengths.iter().map(u32::to_string).collect();
    let length = model.defaults.duration_s.map(|secs| secs.to_string()).unwrap_or_default();
    let takes_image = model.routes.iter().any(|route| route.image_endpoint.is_some());
    let needs_image = model.routes.iter().all(|route| route.endpoint.is_none());
    let has_sound = model.routes.iter().any(|route| route.audio == Audio::Switch);
    html! {
        label for="prompt" { "Prompt" }
        textarea #prompt name="prompt" required { (value("prompt")) }
        @if takes_image {
            label for="image_url" { "Start image (https URL)" @if !needs_image { ", optional" } }
            input #image_url name="image_url" type="url" value=(value("image_url")) required[needs_image];
        }
        (choice("duration_s", "Length in seconds", &lengths, &length, form))
        (choice("resolution", "Resolution", &all(model, |route| &route.resolutions), &model.defaults.resolution, form))
        (choice("aspect_ratio", "Aspect ratio", &all(model, |route| &route.aspect_ratios), &model.defaults.aspect_ratio, form))
        @if has_sound {
            (choice("audio", "Sound", &["on".to_owned(), "off".to_owned()], if model.defaults.audio == Some(false) { "off" } else { "on" }, form))
        }
        @if model.routes.iter().any(|route| route.seed) {
            label for="seed" { "Seed, optional" }
            input #seed name="seed" type="number" min="0" value=(value("seed"));
        }
        @if model.routes.iter().any(|route| route.negative_prompt) {
            label for="negative_prompt" { "Negative prompt, optional" }
            input #negative_prompt name="negative_prompt" value=(value("negative_prompt"));
        }
    }
}

/// What all routes together offer, in the catalogue's order.
fn all(model: &Model, of: impl Fn(&domain::catalog::Route) -> &Vec<String>) -> Vec<String> {
    let mut found: Vec<String> = Vec::new();
    for value in model.routes.iter().flat_map(of) {
        if !found.contains(value) {
            found.push(value.clone());
        }
    }
    found
}

fn choice(name: &str, label: &str, values: &[String], default: &str, form: &Form) -> Markup {
    let chosen =
        form.get(name).filter(|chosen| values.iter().any(|value| value == chosen)).unwrap_or(default);
    html! {
        @if !values.is_empty() {
            label for=(name) { (label) }
            select id=(name) name=(name) {
                @for value in values { option selected[value == chosen] { (value) } }
            }
        }
    }
}

/// The price of what is filled in, and how long it usually takes.
fn price_of(page: &Page<'_>, model: &Model, terms: &Terms) -> Markup {
    let order = order(page.form).map(|order| {
        let prompt = if order.prompt.is_empty() { "-".to_owned() } else { order.prompt };
        Order { model: model.name.clone(), prompt, ..order }
    });
    let quoted = request(page, order).and_then(|request| {
        let price = terms.quote(&request, &page.app.catalog);
        price.ok_or_else(|| "There is no price for this.".to_owned())
    });
    html! {
        p #price role="status" {
            @match quoted {
                Ok(price) => { strong { "Price: " (credits(price)) } " Usually ready in " (model.expected_s) " s." }
                Err(wrong) => { span.bad { (wrong) } }
            }
        }
    }
}

fn kind_name(kind: Kind) -> &'static str {
    match kind {
        Kind::Video => "Videos",
        Kind::Image => "Images",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_blank_field_is_absent() {
        let form = Form::from_pairs([
            ("model", "veo-3.1"),
            ("prompt", "a boat"),
            ("duration_s", "8"),
            ("seed", " "),
            ("audio", "off"),
        ]);
        let order = order(&form).unwrap();
        assert_eq!(
            (order.model.as_str(), order.duration_s, order.seed, order.audio),
            ("veo-3.1", Some(8), None, Some(false))
        );
        assert_eq!((order.image_url, order.resolution), (None, None));
    }

    #[test]
    fn what_is_no_number_is_named() {
        for text in ["x", "-1", "7.5", "99999999999"] {
            let wrong = super::order(&Form::from_pairs([("seed", text)])).unwrap_err();
            assert_eq!(wrong.to_string(), "`seed` must be a whole number", "{text}");
        }
    }
}

//! Webhooks that are proved by a certificate, which is fetched when they come.

use sim::channels::Play;

use super::*;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_subscription_of_a_listed_topic_is_confirmed_and_a_certificate_is_fetched_once_a_day() {
    let (ours, other) = (Platform::new("ses", 1), Platform::new("ses", 2));
    let world = world_of(&ours).await;
    let vendors = &world.stack.channels;
    let asked = |platform| Webhook {
        body: Platform::confirmation(platform),
        ..Webhook::new(&world, platform, "", "")
    };
    assert_eq!(asked(&other).send(&world).await.status, StatusCode::UNAUTHORIZED);
    assert_eq!(vendors.texts("platforms"), Vec::<String>::new());
    // Without the certificate, and then without a confirmation: SNS sends it again.
    let refused = async || {
        vendors.play("platforms", Play::Down);
        let answer = asked(&ours).send(&world).await;
        assert_eq!((answer.status.as_u16(), answer.code()), (503, "unavailable"), "{answer:?}");
        assert!(vendors.texts("platforms").is_empty());
    };
    refused().await;
    Webhook::new(&world, &ours, "id_1", "paid").is_taken(&world).await;
    refused().await;
    asked(&ours).is_taken(&world).await;
    assert_eq!(vendors.texts("platforms"), ["a-token"]);
    assert_eq!(vendors.taken()[0].to, ours.secret());
    // A certificate that is at hand is not fetched again, until it is a day old.
    vendors.play("platforms", Play::Down);
    Webhook::new(&world, &ours, "id_1", "paid").is_taken(&world).await;
    world.clock.advance(Duration::from_secs(24 * 3_600 + 1));
    assert_eq!(Webhook::new(&world, &ours, "id_1", "paid").send(&world).await.status.as_u16(), 503);
    Webhook::new(&world, &ours, "id_1", "paid").is_taken(&world).await;
}

/// Of PayPal's headers, none can be another's.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_webhook_of_paypal_is_proved_by_a_certificate_of_paypal_alone() {
    let platform = Platform::new("paypal", 1);
    let world = world_of(&platform).await;
    let webhook = Webhook::new(&world, &platform, "WH-1", "PAYMENT.CAPTURE.COMPLETED");
    let signed = platform.headers(&webhook.url, "WH-1", "", &webhook.body, webhook.at_s);
    for (name, value, status) in [
        ("paypal-cert-url", "https://api.paypal.com.evil.example/v1/notifications/certs/CERT-simulated", 401),
        ("paypal-cert-url", "http://api.paypal.com/v1/notifications/certs/CERT-simulated", 401),
        // One that is not there: it may be ours to wait.
        ("paypal-cert-url", "https://api.paypal.com/v1/notifications/certs/CERT-other", 503),
        // A certificate that is not PayPal's.
        ("paypal-cert-url", "https://api.paypal.com/SimpleNotificationService-simulated.pem", 401),
        ("paypal-transmission-id", "WH-2", 401),
        ("paypal-auth-algo", "SHA1withRSA", 401),
        ("paypal-transmission-sig", "AAAA", 401),
    ] {
        let with = |(key, known): &(&'static str, String)| {
            let value = if *key == name { value.to_owned() } else { known.clone() };
            (*key, value)
        };
        let headers: Vec<_> = signed.iter().map(with).chain([("authorization", String::new())]).collect();
        let headers: Vec<_> = headers.iter().map(|(name, value)| (*name, value.as_str())).collect();
        let answer = world.call(Method::POST, &webhook.path, &headers, Some(&webhook.body)).await;
        assert_eq!(answer.status.as_u16(), status, "{name}: {value}: {answer:?}");
    }
    webhook.is_taken(&world).await;
}

use super::*;

#[test]
fn an_unknown_outcome_is_awaited_past_the_last_webhook_of_any_provider() {
    let fal_retries = Duration::from_secs(2 * 3_600);
    assert!(UNCLEAR_MAX > fal_retries);
}

#[test]
fn each_wait_is_as_long_as_the_readme_says() {
    let (minute, hour) = (Duration::from_secs(60), Duration::from_secs(3_600));
    assert_eq!(CHECK_EVERY, 2 * minute);
    assert_eq!((QUEUED_MAX, UNCLEAR_MAX, RUNNING_MAX), (hour, 2 * hour + 5 * minute, hour));
    assert_eq!((STOPPING_MAX, SETTLING_MAX), (24 * hour, 24 * hour));
}

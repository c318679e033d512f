//! The Lambda service as far as the functions see it: routes, queues, schedules.

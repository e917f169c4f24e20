//! The API's description, made from its handlers and types.

use utoipa::OpenApi;

use super::{destinations, orders, queue, relay};

#[derive(OpenApi)]
#[openapi(
    info(
        title = "GopherPost admin API",
        description = "On the control socket (SMTP_CONTROL_SOCKET), where changes can be made as well, and \
                       for reading where health is served. Lists are JSON Lines that are streamed; one that \
                       breaks off without the end of its chunked body is not whole. See docs/api.md.",
        license(name = "MIT OR Apache-2.0")
    ),
    paths(
        queue::list,
        queue::show,
        queue::message,
        queue::envelope,
        queue::stats,
        queue::history,
        queue::import,
        queue::verify,
        orders::retry,
        orders::hold,
        orders::release,
        orders::purge,
        orders::restore,
        orders::bounce,
        destinations::list,
        destinations::suspend,
        destinations::resume,
        relay::audit,
        relay::set_audit,
        relay::reload,
        relay::explain,
        relay::description,
    )
)]
struct Description;

pub(super) fn openapi() -> utoipa::openapi::OpenApi {
    Description::openapi()
}

#[cfg(test)]
mod tests {
    use expect_test::expect_file;

    use super::*;

    #[test]
    fn the_description_in_docs_is_of_this_api() {
        let described = openapi().to_pretty_json().expect("a description is JSON");
        expect_file!["../../../docs/openapi.json"].assert_eq(&format!("{described}\n"));
    }
}

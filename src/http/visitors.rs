//! Who may see what shows addresses, ids or content: `SMTP_HEALTH_ALLOW_NETWORKS`, and whoever may open
//! the control socket. All others get health and numbers.

use std::sync::Arc;

use axum::extract::{Request, State};
use axum::http::StatusCode;
use axum::middleware::Next;
use axum::response::{IntoResponse as _, Response};
use ipnet::IpNet;

use super::server::Peer;

/// Pages that show neither address nor id, for everybody.
const OPEN: [&str; 4] = ["/healthz", "/readyz", "/metrics", "/debug/vars"];

/// The networks that may see everything.
#[derive(Clone)]
pub(super) struct Visitors(Arc<[IpNet]>);

impl Visitors {
    pub(super) fn new(networks: &[IpNet]) -> Visitors {
        Visitors(networks.into())
    }

    /// Whether this one may see everything.
    pub(super) fn may_see_all(&self, peer: Option<&Peer>) -> bool {
        match peer {
            Some(Peer::Process { .. }) => true,
            Some(Peer::Network(address)) => {
                let address = address.ip().to_canonical();
                self.0.iter().any(|network| network.contains(&address))
            }
            None => false,
        }
    }
}

/// Lets nobody else to pages that are not for everybody, whether they exist or not.
pub(super) async fn guard(
    State(visitors): State<Visitors>,
    request: Request,
    next: Next,
) -> Response {
    let is_open = OPEN.contains(&request.uri().path());
    if is_open || visitors.may_see_all(request.extensions().get::<Peer>()) {
        return next.run(request).await;
    }
    let why = "not from your network (SMTP_HEALTH_ALLOW_NETWORKS)\n";
    (StatusCode::FORBIDDEN, why).into_response()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(peer: Option<Peer>, want: bool) {
        let networks = ["127.0.0.0/8", "2001:db8::/32"].map(|text| text.parse().unwrap());
        let visitors = Visitors::new(&networks);
        assert_eq!(visitors.may_see_all(peer.as_ref()), want, "{peer:?}");
    }

    #[test]
    fn addresses_are_compared_in_one_form() {
        let network = |text: &str| Some(Peer::Network(text.parse().unwrap()));
        check(network("127.3.2.1:99"), true);
        check(network("[::ffff:127.0.0.1]:99"), true);
        check(network("[2001:db8::7]:99"), true);
        check(network("[::1]:99"), false);
        check(network("192.0.2.1:99"), false);
        check(Some(Peer::Process { uid: None }), true);
        check(None, false);
    }
}

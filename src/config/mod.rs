//! Every variable defined once, read once, and turned into one typed [`Config`].
//!
//! `table` holds the variables; [`Sources`] says where values come from; [`Config::load`] is a pure
//! function over them. Promises: all problems are listed at once, each with the variable and what
//! is expected; secrets never show in `Debug`, in a problem or in what `config check` prints.
//! A running process takes a changed configuration up by [`Loaded::renewed`]. Nothing above this room
//! reads the environment. Never done here: changing the environment of
//! the process, opening a file that a value names (except `X_FILE` of a secret), looking up a name.

mod amount;
mod auth_users;
mod build;
mod by_domain;
mod choice;
mod destination_rate;
mod diff;
mod dkim_key;
mod domain_pattern;
mod dotenv;
mod network;
mod problem;
mod rate;
mod reader;
mod reference;
mod refusal;
mod relation;
mod relay_host;
mod renewal;
mod routes;
mod secret;
mod sources;
mod table;
mod tls_policy;
mod typed;
mod unknown;
mod value;
mod variable;

pub use amount::span;
pub use auth_users::{AuthUser, Credential, ScramVerifier};
pub use build::{Examination, Loaded, control_socket, examine};
pub use choice::{LogFormat, Mode};
pub use destination_rate::DestinationRates;
pub use diff::{Differences, diff};
pub use dkim_key::{DkimKeyConfig, DkimKeySource, Selector};
pub use domain_pattern::DomainPattern;
pub use problem::{ConfigProblems, Problem, Warning};
pub use rate::Rate;
pub use reader::Setting;
pub use reference::{configuration_page, env_example};
pub use relay_host::{RelayHost, RelayLogin, RelayName, RelayScheme};
pub use renewal::Renewal;
pub use routes::{Routes, Via};
pub use secret::Secret;
pub use sources::{Origin, Sources};
pub use tls_policy::{TlsLevel, TlsPolicy, TlsRule};
pub use typed::{
    AccessConfig, AuthConfig, Config, DeliveryConfig, LimitsConfig, LogConfig, QueueConfig,
    ServerTlsConfig, SmtpdConfig,
};

//! PROXY protocol headers: reading just what is missing comes to an end, within the limit.
#![no_main]

use gopherpost::inbound::{ProxyHead, look_at_proxy_head};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|octets: &[u8]| {
    let mut read = 0;
    loop {
        match look_at_proxy_head(&octets[..read]) {
            ProxyHead::NeedMore(more) => {
                assert!(more > 0 && read + more <= 4_096);
                if read + more > octets.len() {
                    return;
                }
                read += more;
            }
            ProxyHead::Header(_) | ProxyHead::Fault => return,
        }
    }
});

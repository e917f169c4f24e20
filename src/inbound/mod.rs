//! Listeners, access, the session driver.

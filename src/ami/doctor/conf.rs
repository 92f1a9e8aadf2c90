//! The `manager.conf` that should be there, to be copied.

/// What is filled into it.
#[derive(Clone, Copy, Debug)]
pub struct Site<'a> {
    /// The user.
    pub user: &'a str,
    /// The secret, freshly drawn, or what stands for the one that is there.
    pub secret: &'a str,
    /// From where we connect.
    pub gateway: &'a str,
    /// Whether TLS is to be spoken.
    pub tls: bool,
}

/// The least that is needed, and nothing that shows more.
pub fn manager_conf(site: &Site<'_>) -> String {
    let Site { user, secret, gateway, tls } = site;
    let mask = match (gateway.contains('/'), gateway.contains(':')) {
        (true, _) => "",
        (false, true) => "/128",
        (false, false) => "/32",
    };
    let listener = match tls {
        true => {
            "; only TLS leaves this machine
port = 5038
bindaddr = 127.0.0.1
tlsenable = yes
tlsbindaddr = 0.0.0.0:5039
tlscertfile = /etc/asterisk/keys/asterisk.pem
tlsprivatekey = /etc/asterisk/keys/asterisk.key
"
        }
        false => {
            "port = 5038
; 0.0.0.0 only behind a firewall or in a tunnel: nothing is encrypted here
bindaddr = 127.0.0.1
"
        }
    };
    format!(
        "; /etc/asterisk/manager.conf
[general]
enabled = yes
webenabled = no
{listener}; each event carries its time
timestampevents = yes
; these variables of a channel come with its events
channelvars = ONHOOK_LEAD,ONHOOK_USER

[{user}]
secret = {secret}
deny = 0.0.0.0/0.0.0.0
permit = {gateway}{mask}
read = system,call,agent,user,cdr
write = call,reporting,originate
; how long Asterisk waits for a slow network before it drops us; its default is 100 ms
writetimeout = 5000
; where cel_manager is loaded: a third of the traffic, and nothing in it that is not in other events
eventfilter = !Event: CEL
"
    )
}

/// What else helps, beside `manager.conf`.
pub const HINTS: &str = "\
; modules.conf: exact times of answers that were missed in a cut
load = cdr.so
load = func_cdr.so
; then: asterisk -rx \"manager reload\"; rights hold from the next login";

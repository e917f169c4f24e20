//! A mail to send.

/// Envelope and content of one message. [`mail`] begins one that any relay should take.
#[derive(Clone, Debug)]
pub struct Mail {
    from: String,
    from_parameters: String,
    to: Vec<(String, String)>,
    fields: Vec<(String, String)>,
    body: Vec<u8>,
    raw: Option<Vec<u8>>,
}

/// A mail from `ann@gp.test` with From, To, Subject, Date, Message-ID and a short body; only the
/// recipient is missing.
#[must_use]
pub fn mail() -> Mail {
    let fields = [
        ("From", "Ann <ann@gp.test>"),
        ("To", "Somebody <somebody@example.net>"),
        ("Subject", "hello"),
        ("Date", "Mon, 2 Nov 2026 10:00:00 +0100"),
        ("Message-ID", "<made.by.a.test@gp.test>"),
    ];
    Mail {
        from: "ann@gp.test".to_owned(),
        from_parameters: String::new(),
        to: Vec::new(),
        fields: fields
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .to_vec(),
        body: b"Hello.\r\n".to_vec(),
        raw: None,
    }
}

impl Mail {
    /// The reverse-path without brackets; empty for the null one.
    #[must_use]
    pub fn from(mut self, mailbox: &str) -> Mail {
        mailbox.clone_into(&mut self.from);
        self
    }

    /// A further recipient, without brackets.
    #[must_use]
    pub fn to(mut self, mailbox: &str) -> Mail {
        self.to.push((mailbox.to_owned(), String::new()));
        self
    }

    /// Further recipients.
    #[must_use]
    pub fn recipients<M: AsRef<str>>(self, mailboxes: impl IntoIterator<Item = M>) -> Mail {
        let mut mail = self;
        for mailbox in mailboxes {
            mail = mail.to(mailbox.as_ref());
        }
        mail
    }

    /// A further parameter of MAIL, such as `BODY=8BITMIME`.
    #[must_use]
    pub fn mail_parameter(mut self, parameter: &str) -> Mail {
        self.from_parameters.push(' ');
        self.from_parameters.push_str(parameter);
        self
    }

    /// A further parameter of the last recipient's RCPT.
    #[must_use]
    pub fn rcpt_parameter(mut self, parameter: &str) -> Mail {
        let (_, parameters) = self
            .to
            .last_mut()
            .expect("to() comes before rcpt_parameter()");
        parameters.push(' ');
        parameters.push_str(parameter);
        self
    }

    /// A further header field, behind those that are there; the value may be folded with CRLF.
    #[must_use]
    pub fn header(mut self, name: &str, value: &str) -> Mail {
        self.fields.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Another Subject, to tell mails apart.
    #[must_use]
    pub fn subject(self, text: &str) -> Mail {
        self.without("Subject").header("Subject", text)
    }

    /// Without all fields of this name.
    #[must_use]
    pub fn without(mut self, name: &str) -> Mail {
        self.fields.retain(|(n, _)| !n.eq_ignore_ascii_case(name));
        self
    }

    /// This text as body. Lines end with `\n`, which becomes CRLF; a last one is added if missing.
    #[must_use]
    pub fn body(self, text: &str) -> Mail {
        let mut body = text.replace("\r\n", "\n").replace('\n', "\r\n");
        if !body.is_empty() && !body.ends_with("\r\n") {
            body.push_str("\r\n");
        }
        self.body_octets(body)
    }

    /// Exactly these octets as body.
    #[must_use]
    pub fn body_octets(mut self, octets: impl AsRef<[u8]>) -> Mail {
        self.body = octets.as_ref().to_vec();
        self
    }

    /// Exactly these octets as the whole message, header and all.
    #[must_use]
    pub fn raw(mut self, octets: impl AsRef<[u8]>) -> Mail {
        self.raw = Some(octets.as_ref().to_vec());
        self
    }

    /// The whole message, before dots are stuffed.
    pub fn octets(&self) -> Vec<u8> {
        if let Some(raw) = &self.raw {
            return raw.clone();
        }
        let mut octets = Vec::new();
        for (name, value) in &self.fields {
            octets.extend(format!("{name}: {value}\r\n").as_bytes());
        }
        octets.extend(b"\r\n");
        octets.extend(&self.body);
        octets
    }

    /// The MAIL line, without CRLF.
    pub fn mail_line(&self) -> String {
        format!("MAIL FROM:<{}>{}", self.from, self.from_parameters)
    }

    /// The RCPT lines, without CRLF.
    pub fn rcpt_lines(&self) -> Vec<String> {
        let lines = self.to.iter();
        lines
            .map(|(mailbox, parameters)| format!("RCPT TO:<{mailbox}>{parameters}"))
            .collect()
    }
}

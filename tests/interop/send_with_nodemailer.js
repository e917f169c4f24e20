// Sends standard input as one mail with nodemailer, over STARTTLS and with a login.
// Arguments: port, file with the root certificate, user, password, mechanism.

"use strict";
const fs = require("fs");
const nodemailer = require("nodemailer");

const [port, root, user, pass, method] = process.argv.slice(2);

const transport = nodemailer.createTransport({
  host: "127.0.0.1",
  port: Number(port),
  name: "client.test",
  requireTLS: true,
  tls: { servername: "gp.test", ca: fs.readFileSync(root) },
  auth: { user, pass },
  authMethod: method,
});

transport
  .sendMail({
    envelope: {
      from: "ann@elsewhere.test",
      to: "bob@dest.test",
      use8BitMime: true,
    },
    raw: fs.readFileSync(0),
  })
  .catch((why) => {
    console.error(why);
    process.exitCode = 1;
  });

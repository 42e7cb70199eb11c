// An authorization server for tests of how clients prove themselves: the npm package oidc-provider on loopback over TLS, with two ports.
// The first asks nobody for a certificate; the second, which discovery names in mtls_endpoint_aliases (RFC 8705 5), refuses who has none.
// TLS_KEY, TLS_CERT: its own; TLS_CA: who issues clients' certificates (without: any is taken, RFC 8705 2.2); CLIENTS: theirs, as JSON. Beside it a log and a switch:
//   GET  /_log    [{"path", "status", "error", "certificate", "assertion", "secret"}] of requests to its doors for clients
//   POST /_faults {"path": "/token/revocation", "status": 503, "n": 1}
// The line "issuer: ..." names it. It ends with its standard input.
import crypto from 'node:crypto';
import fs from 'node:fs';
import https from 'node:https';
import Provider from 'oidc-provider';

const own = { key: fs.readFileSync(process.env.TLS_KEY), cert: fs.readFileSync(process.env.TLS_CERT) };
const plain = https.createServer(own);
const mutual = https.createServer(process.env.TLS_CA
  ? { ...own, ca: fs.readFileSync(process.env.TLS_CA), requestCert: true, rejectUnauthorized: true }
  : { ...own, requestCert: true, rejectUnauthorized: false });
const listen = (server) => new Promise((done) => server.listen(0, '127.0.0.1', () => done(`https://localhost:${server.address().port}`)));
const text = async (req) => { let all = ''; for await (const piece of req) all += piece; return all; };

const issuer = await listen(plain), alias = await listen(mutual);
const provider = new Provider(issuer, {
  clients: JSON.parse(process.env.CLIENTS),
  scopes: ['openid', 'offline_access', 'read', 'write'],
  clientAuthMethods: ['client_secret_basic', 'client_secret_post', 'client_secret_jwt', 'private_key_jwt', 'tls_client_auth',
    'self_signed_tls_client_auth', 'none'],
  discovery: { mtls_endpoint_aliases: {
    token_endpoint: `${alias}/token`, revocation_endpoint: `${alias}/token/revocation`, introspection_endpoint: `${alias}/token/introspection`,
    device_authorization_endpoint: `${alias}/device/auth`, pushed_authorization_request_endpoint: `${alias}/request` } },
  features: {
    devInteractions: { enabled: false }, clientCredentials: { enabled: true }, deviceFlow: { enabled: true },
    pushedAuthorizationRequests: { enabled: true },
    introspection: { enabled: true, allowedPolicy: () => true }, revocation: { enabled: true, allowedPolicy: () => true },
    mTLS: { enabled: true, tlsClientAuth: true, selfSignedTlsClientAuth: true, getCertificate: (ctx) => ctx.socket.getPeerX509Certificate?.(),
      certificateAuthorized: (ctx) => ctx.socket.authorized,
      certificateSubjectMatches: (ctx, property, wanted) => ctx.socket.getPeerX509Certificate()?.subject === wanted },
  },
  jwks: { keys: [{ ...crypto.generateKeyPairSync('ec', { namedCurve: 'P-256' }).privateKey.export({ format: 'jwk' }), use: 'sig', kid: 'e1', alg: 'ES256' }] },
  cookies: { keys: [crypto.randomBytes(16).toString('hex')] },
  ttl: { ClientCredentials: 3600, DeviceCode: 600, PushedAuthorizationRequest: 60 },
});

const DOORS = ['/token', '/token/revocation', '/token/introspection', '/request', '/device/auth'];
let fault = null;
const log = [];
provider.use(async (ctx, next) => {
  if (ctx.path === '/_log') { ctx.body = log; return; }
  if (ctx.path === '/_faults') { fault = JSON.parse(await text(ctx.req)); ctx.body = {}; return; }
  if (!DOORS.includes(ctx.path)) { await next(); return; }
  const entry = { path: ctx.path, certificate: ctx.socket.getPeerX509Certificate?.()?.subject ?? null };
  log.push(entry);
  if (fault && fault.path === ctx.path && fault.n-- > 0) {
    entry.assertion = new URLSearchParams(await text(ctx.req)).get('client_assertion');
    entry.status = ctx.status = fault.status;
    ctx.body = 'not well';
    return;
  }
  await next();
  const basic = /^Basic (.*)$/.exec(ctx.get('authorization'))?.[1];
  Object.assign(entry, { status: ctx.status, error: ctx.body?.error ?? null, assertion: ctx.oidc?.body?.client_assertion ?? null,
    secret: basic ? decodeURIComponent(Buffer.from(basic, 'base64').toString().split(':')[1]) : null });
});
provider.on('server_error', (_, e) => console.error(e.stack));
plain.on('request', provider.callback());
mutual.on('request', provider.callback());
console.log(`issuer: ${issuer}`);
process.stdin.resume();
process.stdin.on('end', () => process.exit(0));

"use strict";

const words = {
  en: {
    title: "Welcome to Raccord",
    intro: "Make the owner's account. The link that brought you here works once.",
    code: "Setup code",
    codeHint: "The part after # of the link that the server printed when it started.",
    email: "E-mail address",
    password: "Password",
    passwordHint: "At least 12 characters. A few unrelated words make a good one.",
    show: "Show",
    hide: "Hide",
    language: "Language of messages",
    send: "Create the account",
    sending: "Creating the account…",
    emailMissing: "Enter your e-mail address, as name@example.com.",
    passwordShort: "The password is too short: at least 12 characters.",
    passwordCommon: "This password is among the first that others would try. Choose another one.",
    codeMissing: "Enter the setup code.",
    unreachable: "The hub does not answer. Is it still running?",
    doneTitle: "The owner's account is ready",
    doneIntro: "Keep the password safe: it opens everything.",
    tokenTitle: "Next: a token for your programs",
    tokenIntro: "Programs call Raccord with a token. This makes one with the administrator's role, valid for 30 days.",
    tokenMake: "Create a token",
    tokenOnce: "Your token. Copy it now: it is shown once.",
    copy: "Copy",
    copied: "Copied",
    curlIntro: "See what can be connected:",
    cliIntro: "Or make a token on the server, with its data directory:",
  },
  fr: {
    title: "Bienvenue dans Raccord",
    intro: "Créez le compte du propriétaire. Le lien qui vous a mené ici ne sert qu'une fois.",
    code: "Code d'installation",
    codeHint: "La partie après # du lien que le serveur a affiché au démarrage.",
    email: "Adresse e-mail",
    password: "Mot de passe",
    passwordHint: "Au moins 12 caractères. Quelques mots sans rapport entre eux conviennent bien.",
    show: "Afficher",
    hide: "Masquer",
    language: "Langue des messages",
    send: "Créer le compte",
    sending: "Création du compte…",
    emailMissing: "Saisissez votre adresse e-mail, comme nom@example.com.",
    passwordShort: "Le mot de passe est trop court : au moins 12 caractères.",
    passwordCommon: "Ce mot de passe est parmi les premiers que d'autres essaieraient. Choisissez-en un autre.",
    codeMissing: "Saisissez le code d'installation.",
    unreachable: "Le hub ne répond pas. Est-il toujours démarré ?",
    doneTitle: "Le compte du propriétaire est prêt",
    doneIntro: "Gardez bien le mot de passe : il ouvre tout.",
    tokenTitle: "Ensuite : un jeton pour vos programmes",
    tokenIntro: "Les programmes appellent Raccord avec un jeton. Celui-ci aura le rôle d'administrateur et vaudra 30 jours.",
    tokenMake: "Créer un jeton",
    tokenOnce: "Votre jeton. Copiez-le maintenant : il n'est montré qu'une fois.",
    copy: "Copier",
    copied: "Copié",
    curlIntro: "Voir ce qui peut être connecté :",
    cliIntro: "Ou créez un jeton sur le serveur, avec son répertoire de données :",
  },
};

const byId = (id) => document.getElementById(id);
const base = new URL(".", location.href.split("#")[0]).href;
let language = (navigator.language || "en").toLowerCase().startsWith("fr") ? "fr" : "en";
let csrf = null;
let token = "rcd_…";

const say = (key) => words[language][key];

function speak(next) {
  language = next;
  document.documentElement.lang = next;
  for (const e of document.querySelectorAll("[data-say]")) e.textContent = say(e.dataset.say);
  for (const b of document.querySelectorAll("[data-language]")) b.setAttribute("aria-pressed", String(b.dataset.language === next));
  if (byId("password").type === "text") byId("show").textContent = say("hide");
  byId("language").value = next;
  byId("curl").textContent = `curl -H 'Authorization: Bearer ${token}' ${base}api/v1/connectors`;
}

async function ask(method, path, body) {
  const headers = { "Accept-Language": language };
  if (body) headers["Content-Type"] = "application/json";
  if (csrf) headers["X-CSRF-Token"] = csrf;
  let answer;
  try {
    answer = await fetch(base + path, { method, headers, body: body && JSON.stringify(body), credentials: "same-origin", cache: "no-store" });
  } catch {
    throw { detail: say("unreachable") };
  }
  const json = await answer.json().catch(() => ({ detail: say("unreachable") }));
  if (!answer.ok) throw json;
  return json;
}

function complain(text, field) {
  for (const id of ["code", "email", "password"]) byId(id).setAttribute("aria-invalid", String(id === field));
  byId("problem").textContent = text;
  if (text) byId(field || "problem").focus();
}

function checked() {
  if (!byId("code").value.trim()) return ["codeMissing", "code"];
  if (!byId("email").value.trim() || !byId("email").checkValidity()) return ["emailMissing", "email"];
  if ([...byId("password").value].length < 12) return ["passwordShort", "password"];
  return null;
}

async function submit(event) {
  event.preventDefault();
  const wrong = checked();
  if (wrong) return complain(say(wrong[0]), wrong[1]);
  complain("");
  const send = byId("send");
  const account = { email: byId("email").value.trim(), password: byId("password").value };
  send.disabled = true;
  send.textContent = say("sending");
  try {
    await ask("POST", "api/v1/setup", { code: byId("code").value.trim(), language: byId("language").value, ...account });
    history.replaceState(null, "", location.pathname);
    byId("form").hidden = true;
    byId("done").hidden = false;
    byId("done-title").focus();
    byId("form").reset();
    csrf = (await ask("POST", "api/v1/session", account)).csrf_token;
  } catch (problem) {
    const pointer = problem.errors && problem.errors[0] && problem.errors[0].pointer.slice(1);
    const text = pointer === "password" ? say("passwordCommon") : problem.detail;
    complain(text || say("unreachable"), ["email", "password", "code"].includes(pointer) ? pointer : null);
  } finally {
    send.disabled = false;
    send.textContent = say("send");
  }
}

async function makeToken() {
  byId("make-token").disabled = true;
  byId("token-problem").textContent = "";
  try {
    token = (await ask("POST", "api/v1/tokens", { name: "first", role: "admin", expires_in: "30d" })).secret;
    byId("token").textContent = token;
    byId("token-row").hidden = false;
    byId("make-token").hidden = true;
    speak(language);
  } catch (problem) {
    byId("token-problem").textContent = problem.detail || say("unreachable");
    byId("make-token").disabled = false;
  }
}

byId("show").addEventListener("click", () => {
  const shown = byId("password").type === "password";
  byId("password").type = shown ? "text" : "password";
  byId("show").setAttribute("aria-pressed", String(shown));
  byId("show").textContent = say(shown ? "hide" : "show");
});
byId("password").addEventListener("input", () => byId("password-hint").classList.toggle("met", [...byId("password").value].length >= 12));
byId("copy").addEventListener("click", async () => {
  await navigator.clipboard.writeText(token).then(() => { byId("copy").textContent = say("copied"); }, () => getSelection().selectAllChildren(byId("token")));
});
byId("make-token").addEventListener("click", makeToken);
byId("form").addEventListener("submit", submit);
for (const b of document.querySelectorAll("[data-language]")) b.addEventListener("click", () => speak(b.dataset.language));

byId("code").value = location.hash.slice(1);
byId("code-row").hidden = Boolean(byId("code").value);
byId("form").hidden = false;
speak(language);
byId("email").focus();

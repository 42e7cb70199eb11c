"use strict";

// What the pages share on which somebody chooses a password: /setup and /invite. Loaded before their own script, which calls begin().

const sharedWords = {
  en: {
    password: "Password",
    passwordHint: "At least 12 characters. A few unrelated words make a good one.",
    show: "Show",
    hide: "Hide",
    passwordShort: "The password is too short: at least 12 characters.",
    passwordCommon: "This password is among the first that others would try. Choose another one.",
    unreachable: "The hub does not answer. Is it still running?",
  },
  fr: {
    password: "Mot de passe",
    passwordHint: "Au moins 12 caractères. Quelques mots sans rapport entre eux conviennent bien.",
    show: "Afficher",
    hide: "Masquer",
    passwordShort: "Le mot de passe est trop court : au moins 12 caractères.",
    passwordCommon: "Ce mot de passe est parmi les premiers que d'autres essaieraient. Choisissez-en un autre.",
    unreachable: "Le hub ne répond pas. Est-il toujours démarré ?",
  },
};

const byId = (id) => document.getElementById(id);
const base = new URL(".", location.href.split("#")[0]).href;
let language = (navigator.language || "en").toLowerCase().startsWith("fr") ? "fr" : "en";

// The page's own: words, by language; fields, those that can be wrong, in order; check(), the first that is ([word, field]) or null;
// send(), asks the hub and shows what came of it; spoken(language), after another language was chosen (may be missing).
let page = null;

const say = (key) => page.words[language][key] || sharedWords[language][key];
const longEnough = () => [...byId("password").value].length >= 12;

function speak(next) {
  language = next;
  document.documentElement.lang = next;
  for (const e of document.querySelectorAll("[data-say]")) e.textContent = say(e.dataset.say);
  for (const b of document.querySelectorAll("[data-language]")) b.setAttribute("aria-pressed", String(b.dataset.language === next));
  if (byId("password").type === "text") byId("show").textContent = say("hide");
  if (page.spoken) page.spoken(next);
}

// A refusal is thrown as the problem that the hub told.
async function ask(method, path, body, { credentials = "same-origin", csrf = null } = {}) {
  const headers = { "Accept-Language": language };
  if (body) headers["Content-Type"] = "application/json";
  if (csrf) headers["X-CSRF-Token"] = csrf;
  let answer;
  try {
    answer = await fetch(base + path, { method, headers, body: body && JSON.stringify(body), credentials, cache: "no-store" });
  } catch {
    throw { detail: say("unreachable") };
  }
  const json = await answer.json().catch(() => ({ detail: say("unreachable") }));
  if (!answer.ok) throw json;
  return json;
}

function complain(text, field) {
  for (const id of page.fields) byId(id).setAttribute("aria-invalid", String(id === field));
  byId("problem").textContent = text;
  if (text) byId(field || "problem").focus();
}

// The form has done its work: what was typed, and the code in the address, go.
function finish() {
  history.replaceState(null, "", location.pathname);
  byId("form").reset();
  byId("form").hidden = true;
  byId("done").hidden = false;
  byId("done-title").focus();
}

async function submit(event) {
  event.preventDefault();
  const wrong = !byId("code").value.trim() ? ["codeMissing", "code"] : page.check() || (longEnough() ? null : ["passwordShort", "password"]);
  if (wrong) return complain(say(wrong[0]), wrong[1]);
  complain("");
  const send = byId("send");
  send.disabled = true;
  send.textContent = say("sending");
  try {
    await page.send();
  } catch (problem) {
    const pointer = problem.errors && problem.errors[0] && problem.errors[0].pointer.slice(1);
    const text = pointer === "password" ? say("passwordCommon") : problem.detail;
    complain(text || say("unreachable"), page.fields.includes(pointer) ? pointer : null);
  } finally {
    send.disabled = false;
    send.textContent = say("send");
  }
}

function begin(own) {
  page = own;
  byId("show").addEventListener("click", () => {
    const shown = byId("password").type === "password";
    byId("password").type = shown ? "text" : "password";
    byId("show").setAttribute("aria-pressed", String(shown));
    byId("show").textContent = say(shown ? "hide" : "show");
  });
  byId("password").addEventListener("input", () => byId("password-hint").classList.toggle("met", longEnough()));
  byId("form").addEventListener("submit", submit);
  for (const b of document.querySelectorAll("[data-language]")) b.addEventListener("click", () => speak(b.dataset.language));
  byId("code").value = location.hash.slice(1);
  byId("code-row").hidden = Boolean(byId("code").value);
  byId("form").hidden = false;
  speak(language);
}

"use strict";

const words = {
  en: {
    title: "Choose your password",
    intro: "Somebody gave you this link so that only you know your password. It works once.",
    code: "Code of the link",
    codeHint: "The part after # of the link that you were given.",
    password: "Password",
    passwordHint: "At least 12 characters. A few unrelated words make a good one.",
    show: "Show",
    hide: "Hide",
    send: "Set the password",
    sending: "Setting the password…",
    passwordShort: "The password is too short: at least 12 characters.",
    passwordCommon: "This password is among the first that others would try. Choose another one.",
    codeMissing: "Enter the code of the link.",
    unreachable: "The hub does not answer. Is it still running?",
    doneTitle: "Your password is set",
    doneIntro: "Sign in from now on as",
  },
  fr: {
    title: "Choisissez votre mot de passe",
    intro: "Ce lien vous a été donné pour que vous seul connaissiez votre mot de passe. Il ne sert qu'une fois.",
    code: "Code du lien",
    codeHint: "La partie après # du lien que vous avez reçu.",
    password: "Mot de passe",
    passwordHint: "Au moins 12 caractères. Quelques mots sans rapport entre eux conviennent bien.",
    show: "Afficher",
    hide: "Masquer",
    send: "Définir le mot de passe",
    sending: "Enregistrement du mot de passe…",
    passwordShort: "Le mot de passe est trop court : au moins 12 caractères.",
    passwordCommon: "Ce mot de passe est parmi les premiers que d'autres essaieraient. Choisissez-en un autre.",
    codeMissing: "Saisissez le code du lien.",
    unreachable: "Le hub ne répond pas. Est-il toujours démarré ?",
    doneTitle: "Votre mot de passe est défini",
    doneIntro: "Connectez-vous désormais en tant que",
  },
};

const byId = (id) => document.getElementById(id);
const base = new URL(".", location.href.split("#")[0]).href;
let language = (navigator.language || "en").toLowerCase().startsWith("fr") ? "fr" : "en";

const say = (key) => words[language][key];

function speak(next) {
  language = next;
  document.documentElement.lang = next;
  for (const e of document.querySelectorAll("[data-say]")) e.textContent = say(e.dataset.say);
  for (const b of document.querySelectorAll("[data-language]")) b.setAttribute("aria-pressed", String(b.dataset.language === next));
  if (byId("password").type === "text") byId("show").textContent = say("hide");
}

async function accept(body) {
  const headers = { "Accept-Language": language, "Content-Type": "application/json" };
  let answer;
  try {
    answer = await fetch(base + "api/v1/invitations:accept", { method: "POST", headers, body: JSON.stringify(body), credentials: "omit", cache: "no-store" });
  } catch {
    throw { detail: say("unreachable") };
  }
  const json = await answer.json().catch(() => ({ detail: say("unreachable") }));
  if (!answer.ok) throw json;
  return json;
}

function complain(text, field) {
  for (const id of ["code", "password"]) byId(id).setAttribute("aria-invalid", String(id === field));
  byId("problem").textContent = text;
  if (text) byId(field || "problem").focus();
}

function checked() {
  if (!byId("code").value.trim()) return ["codeMissing", "code"];
  if ([...byId("password").value].length < 12) return ["passwordShort", "password"];
  return null;
}

async function submit(event) {
  event.preventDefault();
  const wrong = checked();
  if (wrong) return complain(say(wrong[0]), wrong[1]);
  complain("");
  const send = byId("send");
  send.disabled = true;
  send.textContent = say("sending");
  try {
    const user = await accept({ code: byId("code").value.trim(), password: byId("password").value, language });
    history.replaceState(null, "", location.pathname);
    byId("form").reset();
    byId("form").hidden = true;
    byId("email").textContent = user.email;
    byId("done").hidden = false;
    byId("done-title").focus();
  } catch (problem) {
    const pointer = problem.errors && problem.errors[0] && problem.errors[0].pointer.slice(1);
    const text = pointer === "password" ? say("passwordCommon") : problem.detail;
    complain(text || say("unreachable"), ["password", "code"].includes(pointer) ? pointer : null);
  } finally {
    send.disabled = false;
    send.textContent = say("send");
  }
}

byId("show").addEventListener("click", () => {
  const shown = byId("password").type === "password";
  byId("password").type = shown ? "text" : "password";
  byId("show").setAttribute("aria-pressed", String(shown));
  byId("show").textContent = say(shown ? "hide" : "show");
});
byId("password").addEventListener("input", () => byId("password-hint").classList.toggle("met", [...byId("password").value].length >= 12));
byId("form").addEventListener("submit", submit);
for (const b of document.querySelectorAll("[data-language]")) b.addEventListener("click", () => speak(b.dataset.language));

byId("code").value = location.hash.slice(1);
byId("code-row").hidden = Boolean(byId("code").value);
byId("form").hidden = false;
speak(language);
byId("password").focus();

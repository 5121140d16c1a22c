// What a client of the front writes with the types that are made of the OpenAPI document; compiled, never run.
import type { components, paths } from "./types";

type SendText = paths["/api/v1/messages/send-text"]["post"];
type Body = SendText["requestBody"]["content"]["application/json"];
type Queued = SendText["responses"][200]["content"]["application/json"];

export const body: Body = { sessionId: "7d3f0a52-0f0e-7c11-9a55-0123456789ab", to: "919876543210", text: "Hello" };

export function idOf(answer: Queued): string {
    return answer.data.id;
}

export function problemsOf(failure: components["schemas"]["FailureBody"]): string[] {
    return Object.entries(failure.errors ?? {}).map(([field, problem]) => `${field}: ${problem}`);
}

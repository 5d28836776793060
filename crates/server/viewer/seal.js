export function openSeal() { return { update() {}, close() {} }; }

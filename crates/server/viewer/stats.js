export function openHealth() { return { update() {}, close() {} }; }

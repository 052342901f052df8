#!/usr/bin/env node
import { McpServer } from "@modelcontextprotocol/sdk/server/mcp.js";
import { StdioServerTransport } from "@modelcontextprotocol/sdk/server/stdio.js";

const version: number = "1.0.0"; // the mistake that stops the compiler
const server = new McpServer({ name: "toolman-broken", version });
await server.connect(new StdioServerTransport());

"""Loopback stand-ins for Metabase and the WeCom group robot, and sample contracts; demo and tests share them."""

@echo off
rem The dashboard, as "start.bat dashboard". Arguments: --demo, --port N, --hash-password.
call "%~dp0start.bat" dashboard %*
set "CODE=%ERRORLEVEL%"
if "%CODE%"=="0" exit /b 0
rem Opened by a double click, the window would close before anybody could read why.
setlocal EnableDelayedExpansion
set "OPENED_BY=!cmdcmdline!"
if /i not "!OPENED_BY:%~nx0=!"=="!OPENED_BY!" pause
exit /b %CODE%
